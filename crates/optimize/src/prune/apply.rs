//! A model without some of its channels.

use std::collections::HashSet;

use bytes::Bytes;
use modelyard_graph::{
    AttributeValue, Constant, ConstantData, ElementType, Limits, Model, Names, Node, Value,
    ValueType,
};
use modelyard_tensor::Dim;

use super::explore::indices;
use super::space::{Edit, Place, Space};
use crate::OptimizeError;

/// Weights with fewer elements keep them in a sketch: they may be shapes.
const SMALL: usize = 4096;

/// How much of a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// All of it.
    Whole,
    /// Enough to tell what it costs: large weights have their sizes, not their numbers.
    Sketch,
}

/// The model without the classes in `removed`, not yet verified.
pub(super) fn without(
    model: &Model,
    space: &Space,
    removed: &HashSet<usize>,
    detail: Detail,
) -> Result<Model, OptimizeError> {
    let cut = Cut { space, removed };
    let mut made = model.clone();
    for edit in &space.edits {
        cut.edit(&mut made, model, edit)?;
    }
    for constant in &mut made.graph.initializers {
        cut.constant(constant, detail)?;
    }
    for value in &mut made.graph.value_info {
        cut.value(value);
    }
    drop_unused(&mut made, model);
    Ok(made)
}

/// The same, verified, with every shape inferred and compared with what it should be.
pub(super) fn checked(
    model: &Model,
    space: &Space,
    removed: &HashSet<usize>,
) -> Result<Model, OptimizeError> {
    let made = without(model, space, removed, Detail::Whole)?.verified(&Limits::default())?;
    let cut = Cut { space, removed };
    for (name, value_type) in made.types() {
        let (Some((_, Some(dims))), Some(before)) = (value_type.as_tensor(), space.dims(&name))
        else {
            continue;
        };
        let expected = cut.dims(&name, before);
        if dims.len() != expected.len()
            || dims.iter().zip(&expected).any(|(one, two)| differ(one, two))
        {
            return Err(OptimizeError::Invalid(format!(
                "the pruned model gives '{name}' another shape than planned, which is a mistake in \
                 modelyard; leave the layers around it as they are (--exclude)"
            )));
        }
    }
    Ok(made)
}

fn differ(one: &Dim, two: &Dim) -> bool {
    matches!((one, two), (Dim::Fixed(one), Dim::Fixed(two)) if one != two)
}

struct Cut<'a> {
    space: &'a Space,
    removed: &'a HashSet<usize>,
}

impl Cut<'_> {
    /// Which indices of an axis stay; `None`: all.
    fn kept(&self, name: &str, axis: usize) -> Option<Vec<usize>> {
        let all = indices(self.space, (name, axis));
        let first = all.start;
        let stays = |number: &usize| !self.removed.contains(&self.space.root(*number));
        let kept: Vec<usize> = all.clone().filter(stays).map(|number| number - first).collect();
        (kept.len() < all.len()).then_some(kept)
    }

    fn dims(&self, name: &str, before: &[Dim]) -> Vec<Dim> {
        let size = |(axis, dim): (usize, &Dim)| match self.kept(name, axis) {
            Some(kept) => Dim::Fixed(kept.len()),
            None => dim.clone(),
        };
        before.iter().enumerate().map(size).collect()
    }

    fn constant(&self, constant: &mut Constant, detail: Detail) -> Result<(), OptimizeError> {
        for axis in 0..constant.dims.len() {
            let Some(kept) = self.kept(&constant.name, axis) else { continue };
            let is_small = constant.elements().is_some_and(|elements| elements <= SMALL);
            if detail == Detail::Whole || is_small {
                let data = taken(constant, axis, &kept).ok_or_else(|| {
                    OptimizeError::Invalid(format!("weight '{}' cannot be cut", constant.name))
                })?;
                constant.data = ConstantData::Raw(data);
            } else {
                constant.data = ConstantData::Raw(Bytes::new());
            }
            constant.dims[axis] = kept.len();
        }
        Ok(())
    }

    fn value(&self, value: &mut Value) {
        let name = &value.name;
        if let ValueType::Tensor { dims: Some(dims), .. } = &mut value.value_type {
            *dims = self.dims(name, dims);
        }
    }

    /// Writes a count anew where it changed.
    fn edit(&self, made: &mut Model, model: &Model, edit: &Edit) -> Result<(), OptimizeError> {
        let (name, axis) = &edit.axis;
        let Some(kept) = self.kept(name, *axis) else { return Ok(()) };
        let count = kept.iter().filter(|index| **index < edit.upto).count() / edit.divisor.max(1);
        let count = count as i64;
        let node = &mut made.graph.nodes[edit.node];
        let (name, position) = match edit.place {
            Place::Attribute(name) => (name, None),
            Place::Member(name, position) => (name, Some(position)),
            Place::Input(input, position) => {
                return set_input(made, model, edit.node, (input, position, count));
            }
        };
        let found = node.attributes.iter_mut().find(|attribute| attribute.name == name);
        match (found.map(|attribute| &mut attribute.value), position) {
            (Some(AttributeValue::Int(value)), None) => *value = count,
            (Some(AttributeValue::Ints(values)), Some(position)) if position < values.len() => {
                values[position] = count;
            }
            _ => return Err(OptimizeError::Invalid(format!("{node} has no attribute '{name}'"))),
        }
        Ok(())
    }
}

/// Changes a member of a constant input, which the node gets for itself.
fn set_input(
    made: &mut Model,
    model: &Model,
    number: usize,
    (input, position, count): (usize, usize, i64),
) -> Result<(), OptimizeError> {
    let name = made.graph.nodes[number].inputs[input].clone();
    let original = &model.graph.nodes[number].inputs[input];
    let refused =
        || OptimizeError::Invalid(format!("'{name}' holds no integers that can be changed"));
    let mut name = name.clone();
    if name == *original {
        let mut own = made.graph.initializer(&name).ok_or_else(refused)?.clone();
        own.name = Names::of(made).unique(&format!("{name}_pruned"));
        name.clone_from(&own.name);
        made.graph.nodes[number].inputs[input].clone_from(&name);
        made.graph.initializers.push(own);
    }
    let constant = made.graph.initializers.iter_mut().find(|constant| constant.name == name);
    let constant = constant.ok_or_else(refused)?;
    let width = match constant.element_type {
        ElementType::Int64 => 8,
        ElementType::Int32 => 4,
        _ => return Err(refused()),
    };
    let mut bytes = constant.bytes().ok_or_else(refused)?.to_vec();
    let place = bytes.get_mut(position * width..(position + 1) * width).ok_or_else(refused)?;
    place.copy_from_slice(&count.to_le_bytes()[..width]);
    constant.data = ConstantData::Raw(bytes.into());
    Ok(())
}

/// The elements of a constant at these indices of an axis.
fn taken(constant: &Constant, axis: usize, kept: &[usize]) -> Option<Bytes> {
    let bits = constant.element_type.bits();
    let width = (bits >= 8).then_some(bits / 8)?;
    let bytes = constant.bytes()?;
    let inner = constant.dims[axis + 1..].iter().product::<usize>() * width;
    let block = inner * constant.dims[axis];
    if block == 0 {
        return Some(bytes);
    }
    let mut data = Vec::with_capacity(bytes.len() / constant.dims[axis] * kept.len());
    for block in bytes.chunks_exact(block) {
        kept.iter()
            .for_each(|&index| data.extend_from_slice(&block[index * inner..(index + 1) * inner]));
    }
    Some(data.into())
}

/// Constants that only nodes took which now have their own.
fn drop_unused(made: &mut Model, model: &Model) {
    let used = |model: &Model| -> HashSet<String> {
        let mut names: HashSet<String> = HashSet::new();
        let mut graphs = vec![&model.graph];
        while let Some(graph) = graphs.pop() {
            names.extend(graph.nodes.iter().flat_map(|node| &node.inputs).cloned());
            names.extend(graph.outputs.iter().map(|output| output.name.clone()));
            graphs.extend(graph.nodes.iter().flat_map(Node::subgraphs));
        }
        names
    };
    let (before, after) = (used(model), used(made));
    let stays =
        |constant: &Constant| after.contains(&constant.name) || !before.contains(&constant.name);
    made.graph.initializers.retain(stays);
}

/// The model with all weights at the indices of these classes zero: what the pruned model is to compute.
#[cfg(test)]
pub(super) fn masked(model: &Model, space: &Space, removed: &HashSet<usize>) -> Model {
    let cut = Cut { space, removed };
    let mut made = model.clone();
    for constant in &mut made.graph.initializers {
        if constant.element_type != ElementType::Float32 {
            continue;
        }
        for axis in 0..constant.dims.len() {
            let Some(kept) = cut.kept(&constant.name, axis) else { continue };
            let mut values = crate::floats::floats(constant).unwrap();
            crate::floats::Channels::of(&constant.dims, Some(axis)).rows_mut(
                &mut values,
                |channel, row| {
                    if !kept.contains(&channel) {
                        row.fill(0.0);
                    }
                },
            );
            *constant = Constant::floats(&constant.name, &constant.dims, &values);
        }
    }
    made
}
