//! What layers write nodes with.

use std::collections::HashMap;

use modelyard_graph::{Constant, ElementType, Node};
use modelyard_tensor::Dim;

use crate::emitter::{Emitter, node};
use crate::keras::fault::Fault;
use crate::keras::value::{Value, broadcast, fixed};
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::keras::weights::Weights;

/// A graph that is being written, and the weights of the model.
pub(crate) struct Converter<'a> {
    /// The graph.
    pub(crate) emitter: Emitter,
    weights: &'a Weights,
    /// Names of weights that are in the graph already: layers may be called several times.
    written: HashMap<(String, &'static str), (String, Vec<usize>)>,
    /// What the reader should know.
    pub(crate) notes: Vec<String>,
    /// Calls that may still be made, so that models inside models inside models end.
    pub(crate) calls_left: usize,
    /// How far answers may be apart, where something is only approximately the same.
    pub(crate) relative: f64,
}

/// One dimension to reshape to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// This many.
    Fixed(usize),
    /// As many as this axis of the value has.
    Axis(usize),
    /// The product of these two neighbouring axes.
    Product(usize, usize),
    /// Whatever is left. At most one.
    Rest,
}

impl<'a> Converter<'a> {
    /// A converter that writes into `emitter`.
    pub(crate) fn new(emitter: Emitter, weights: &'a Weights, calls: usize) -> Converter<'a> {
        Converter {
            emitter,
            weights,
            written: HashMap::new(),
            notes: Vec::new(),
            calls_left: calls,
            relative: 0.0,
        }
    }

    /// Tells the reader that something is only approximately the same, and how far it may be off
    /// relative to the largest answer.
    pub(crate) fn approximate(&mut self, relative: f64, note: &str) {
        self.relative = self.relative.max(relative);
        self.notes.push(note.to_owned());
    }

    /// Reads a weight.
    pub(crate) fn read(&self, of: &Variables, name: &str) -> Result<Weight, Fault> {
        self.weights.read(of, name)
    }

    /// Adds a weight to the graph as it is, and gives its name and shape.
    pub(crate) fn weight(
        &mut self,
        of: &Variables,
        name: &'static str,
    ) -> Result<(String, Vec<usize>), Fault> {
        self.weight_as(of, name, Ok)
    }

    /// Adds a weight to the graph in another layout, and gives its name and shape. A layer that is
    /// called again gets the one that is there: `change` is always the same for a weight.
    pub(crate) fn weight_as(
        &mut self,
        of: &Variables,
        name: &'static str,
        change: impl FnOnce(Weight) -> Result<Weight, Fault>,
    ) -> Result<(String, Vec<usize>), Fault> {
        self.derived_weight(of, name, |to| change(to.read(of, name)?))
    }

    /// Adds something that is computed of the weights of a layer, once for all calls, under the
    /// name that a weight would have.
    pub(crate) fn derived_weight(
        &mut self,
        of: &Variables,
        name: &'static str,
        make: impl FnOnce(&mut Converter<'a>) -> Result<Weight, Fault>,
    ) -> Result<(String, Vec<usize>), Fault> {
        let key = (of.path.clone(), name);
        if let Some(written) = self.written.get(&key) {
            return Ok(written.clone());
        }
        let weight = make(self)?;
        let constant = weight.constant(&format!("{}/{name}", of.label));
        let written = (self.emitter.weight(constant), weight.dims);
        self.written.insert(key, written.clone());
        Ok(written)
    }

    /// A value of the graph.
    pub(crate) fn value(&self, name: String, dims: Vec<Dim>, element_type: ElementType) -> Value {
        Value { name, dims, element_type, mask: None, declared: None }
    }

    /// A float value like another one, but for its name.
    pub(crate) fn like(&self, value: &Value, name: String) -> Value {
        self.value(name, value.dims.clone(), value.element_type)
    }

    /// Adds a node without attributes.
    pub(crate) fn op<S: AsRef<str>>(&mut self, op_type: &str, inputs: &[S]) -> String {
        self.emitter.add(node(op_type, inputs))
    }

    /// Adds a node.
    pub(crate) fn add(&mut self, node: Node) -> String {
        self.emitter.add(node)
    }

    /// Adds an elementwise node of one input.
    pub(crate) fn unary(&mut self, op_type: &str, value: &Value) -> Value {
        let name = self.op(op_type, &[&value.name]);
        self.like(value, name)
    }

    /// Adds an elementwise node of two inputs that are broadcast.
    pub(crate) fn binary(
        &mut self,
        op_type: &str,
        one: &Value,
        two: &Value,
    ) -> Result<Value, Fault> {
        let dims = broadcast(&one.dims, &two.dims).ok_or_else(|| {
            let (one, two) = (&one.dims, &two.dims);
            Fault::malformed(format!("shapes {one:?} and {two:?} do not fit together"))
        })?;
        let name = self.op(op_type, &[&one.name, &two.name]);
        Ok(self.value(name, dims, one.element_type))
    }

    /// Adds an elementwise node of a value and a float.
    pub(crate) fn with_scalar(&mut self, op_type: &str, value: &Value, scalar: f32) -> Value {
        let scalar = self.emitter.scalar("value", scalar);
        let name = self.op(op_type, &[&value.name, &scalar]);
        self.like(value, name)
    }

    /// A float constant of no dimensions as a value.
    pub(crate) fn scalar(&mut self, value: f32) -> Value {
        let name = self.emitter.scalar("value", value);
        self.value(name, Vec::new(), ElementType::Float32)
    }

    /// A constant as a value.
    pub(crate) fn constant(&mut self, constant: Constant) -> Value {
        let dims = constant.dims.iter().map(|&size| Dim::Fixed(size)).collect();
        let element_type = constant.element_type;
        let name = self.emitter.constant(constant);
        self.value(name, dims, element_type)
    }

    /// The value in another type.
    pub(crate) fn cast(&mut self, value: &Value, element_type: ElementType) -> Value {
        if value.element_type == element_type {
            return value.clone();
        }
        let cast = node("Cast", &[&value.name]).with("to", i64::from(element_type.code()));
        let name = self.add(cast);
        Value { name, element_type, declared: None, ..value.clone() }
    }

    /// The value as floats.
    pub(crate) fn float(&mut self, value: &Value) -> Value {
        self.cast(value, ElementType::Float32)
    }

    /// The axes in another order.
    pub(crate) fn transpose(&mut self, value: &Value, permutation: &[usize]) -> Value {
        if permutation.iter().enumerate().all(|(index, &axis)| index == axis) {
            return value.clone();
        }
        let order: Vec<i64> = permutation.iter().map(|&axis| axis as i64).collect();
        let name = self.add(node("Transpose", &[&value.name]).with("perm", &order[..]));
        let dims = permutation.iter().map(|&axis| value.dims[axis].clone()).collect();
        self.value(name, dims, value.element_type)
    }

    /// From channels last to channels second.
    pub(crate) fn channels_first(&mut self, value: &Value) -> Value {
        let rank = value.rank();
        let mut order = vec![0, rank - 1];
        order.extend(1..rank - 1);
        self.transpose(value, &order)
    }

    /// From channels second to channels last.
    pub(crate) fn channels_last(&mut self, value: &Value) -> Value {
        let mut order = vec![0];
        order.extend(2..value.rank());
        order.push(1);
        self.transpose(value, &order)
    }

    /// The same elements in another shape. Sizes that are only known when the model runs are taken
    /// from the value then.
    pub(crate) fn reshape(&mut self, value: &Value, sizes: &[Size]) -> Value {
        let known: Vec<Option<i64>> = sizes.iter().map(|size| self.known(value, *size)).collect();
        let unknown = known.iter().filter(|size| size.is_none()).count();
        let has_rest = sizes.contains(&Size::Rest);
        // ONNX copies the size of the same axis for 0, and computes one size for -1.
        let mut by_rest = has_rest || unknown == 0;
        let target: Vec<Option<i64>> = sizes
            .iter()
            .zip(&known)
            .enumerate()
            .map(|(index, (size, known))| match (size, known) {
                (Size::Rest, _) => Some(-1),
                (_, Some(known)) => Some(*known),
                (Size::Axis(axis), None) if *axis == index => Some(0),
                (_, None) if !by_rest => {
                    by_rest = true;
                    Some(-1)
                }
                (_, None) => None,
            })
            .collect();
        let shape = match target.iter().copied().collect::<Option<Vec<i64>>>() {
            Some(target) => self.emitter.integers("shape", &target),
            None => self.dynamic_shape(value, sizes),
        };
        let dims = sizes.iter().map(|size| reshaped_dim(value, sizes, *size)).collect();
        let name = self.op("Reshape", &[&value.name, &shape]);
        self.value(name, dims, value.element_type)
    }

    fn known(&self, value: &Value, size: Size) -> Option<i64> {
        let known = match size {
            Size::Fixed(size) => Some(size),
            Size::Axis(axis) => value.size(axis),
            Size::Product(one, two) => value.size(one)?.checked_mul(value.size(two)?),
            Size::Rest => None,
        };
        known.and_then(|size| i64::try_from(size).ok())
    }

    /// A shape that is put together when the model runs.
    fn dynamic_shape(&mut self, value: &Value, sizes: &[Size]) -> String {
        let parts: Vec<String> = sizes
            .iter()
            .map(|&size| match (self.known(value, size), size) {
                (Some(known), _) => self.emitter.integers("size", &[known]),
                (None, Size::Axis(axis)) => self.size_of(value, axis),
                (None, Size::Product(one, two)) => {
                    let (one, two) = (self.size_of(value, one), self.size_of(value, two));
                    self.op("Mul", &[&one, &two])
                }
                (None, _) => self.emitter.integers("size", &[-1]),
            })
            .collect();
        self.add(node("Concat", &parts).with("axis", 0))
    }

    /// The size of an axis when the model runs, as a list of one.
    pub(crate) fn size_of(&mut self, value: &Value, axis: usize) -> String {
        if let Some(size) = value.size(axis).and_then(|size| i64::try_from(size).ok()) {
            return self.emitter.integers("size", &[size]);
        }
        let axis = axis as i64;
        let shape = node("Shape", &[&value.name]).with("start", axis).with("end", axis + 1);
        self.add(shape)
    }

    /// The shape when the model runs.
    pub(crate) fn shape_of(&mut self, value: &Value) -> String {
        let sizes: Option<Vec<i64>> =
            (0..value.rank()).map(|axis| self.known(value, Size::Axis(axis))).collect();
        match sizes {
            Some(sizes) => self.emitter.integers("shape", &sizes),
            None => self.op("Shape", &[&value.name]),
        }
    }

    /// New axes of size 1 at these places of the result.
    pub(crate) fn unsqueeze(&mut self, value: &Value, axes: &[usize]) -> Value {
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = self.emitter.integers("axes", &list);
        let mut dims = value.dims.clone();
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        for axis in sorted {
            dims.insert(axis.min(dims.len()), Dim::Fixed(1));
        }
        let name = self.op("Unsqueeze", &[&value.name, &list]);
        self.value(name, dims, value.element_type)
    }

    /// Without these axes, whose size is 1.
    pub(crate) fn squeeze(&mut self, value: &Value, axes: &[usize]) -> Value {
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = self.emitter.integers("axes", &list);
        let kept = value.dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
        let dims = kept.map(|(_, dim)| dim.clone()).collect();
        let name = self.op("Squeeze", &[&value.name, &list]);
        self.value(name, dims, value.element_type)
    }

    /// A reduction over these axes.
    pub(crate) fn reduce(
        &mut self,
        op_type: &str,
        value: &Value,
        axes: &[usize],
        keep: bool,
    ) -> Value {
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = self.emitter.integers("axes", &list);
        let reduce = node(op_type, &[&value.name, &list]).with("keepdims", i64::from(keep));
        let name = self.add(reduce);
        let dims = value.dims.iter().enumerate().filter_map(|(axis, dim)| {
            match (axes.contains(&axis), keep) {
                (false, _) => Some(dim.clone()),
                (true, true) => Some(Dim::Fixed(1)),
                (true, false) => None,
            }
        });
        self.value(name, dims.collect(), value.element_type)
    }

    /// A slice along one axis: every `step`th from `start` to `end` (left out).
    pub(crate) fn slice(
        &mut self,
        value: &Value,
        axis: usize,
        (start, end, step): (i64, i64, i64),
    ) -> Value {
        let inputs = [
            value.name.clone(),
            self.emitter.integers("starts", &[start]),
            self.emitter.integers("ends", &[end]),
            self.emitter.integers("axes", &[axis as i64]),
            self.emitter.integers("steps", &[step]),
        ];
        let name = self.op("Slice", &inputs);
        let mut dims = value.dims.clone();
        dims[axis] =
            crate::keras::value::derived(&value.dims[axis], |size| sliced(size, start, end, step));
        self.value(name, dims, value.element_type)
    }

    /// The values one after the other along an axis.
    pub(crate) fn concat(&mut self, values: &[Value], axis: usize) -> Result<Value, Fault> {
        let Some(first) = values.first() else {
            return Err(Fault::malformed("expected tensors to join, found none"));
        };
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let name = self.add(node("Concat", &names).with("axis", axis as i64));
        let mut dims = first.dims.clone();
        for value in values {
            // Sizes that only some of them know hold for all.
            for (index, dim) in value.dims.iter().enumerate().take(dims.len()) {
                if index != axis && fixed(&dims[index]).is_none() && fixed(dim).is_some() {
                    dims[index] = dim.clone();
                }
            }
        }
        let sizes: Option<Vec<usize>> = values.iter().map(|value| value.size(axis)).collect();
        if let Some(dim) = dims.get_mut(axis) {
            *dim = sizes.map_or(Dim::Free, |sizes| Dim::Fixed(sizes.iter().sum()));
        }
        Ok(self.value(name, dims, first.element_type))
    }

    /// The product of two values, whose matrices are in the last two axes; with this shape.
    pub(crate) fn matmul(&mut self, one: &Value, two: &Value, dims: Vec<Dim>) -> Value {
        let name = self.op("MatMul", &[&one.name, &two.name]);
        self.value(name, dims, ElementType::Float32)
    }
}

/// How many elements a slice takes of so many.
pub(crate) fn sliced(size: usize, start: i64, end: i64, step: i64) -> Option<usize> {
    let size = i64::try_from(size).ok()?;
    let place = |index: i64| if index < 0 { index.saturating_add(size) } else { index };
    let count = if step > 0 {
        let (start, end) = (place(start).clamp(0, size), place(end).clamp(0, size));
        (end - start).max(0).checked_add(step - 1)? / step
    } else {
        let (start, end) = (place(start).clamp(-1, size - 1), place(end).clamp(-1, size - 1));
        (start - end).max(0).checked_add(step.checked_neg()? - 1)? / step.checked_neg()?
    };
    usize::try_from(count).ok()
}

fn reshaped_dim(value: &Value, sizes: &[Size], size: Size) -> Dim {
    match size {
        Size::Fixed(size) => Dim::Fixed(size),
        Size::Axis(axis) => value.dims.get(axis).cloned().unwrap_or(Dim::Free),
        Size::Product(one, two) => {
            let product = value.size(one).zip(value.size(two));
            product.and_then(|(one, two)| one.checked_mul(two)).map_or(Dim::Free, Dim::Fixed)
        }
        Size::Rest => rest(value, sizes).map_or(Dim::Free, Dim::Fixed),
    }
}

/// The size that is left, where everything else is known or the same on both sides.
fn rest(value: &Value, sizes: &[Size]) -> Option<usize> {
    let mut used = vec![false; value.rank()];
    let mut divisor = 1usize;
    for size in sizes {
        match size {
            Size::Fixed(size) => divisor = divisor.checked_mul(*size)?,
            Size::Axis(axis) => *used.get_mut(*axis)? = true,
            Size::Product(one, two) => {
                *used.get_mut(*one)? = true;
                *used.get_mut(*two)? = true;
            }
            Size::Rest => {}
        }
    }
    let mut elements = 1usize;
    for (dim, used) in value.dims.iter().zip(used) {
        if !used {
            elements = elements.checked_mul(fixed(dim)?)?;
        }
    }
    (divisor > 0).then(|| elements / divisor)
}
