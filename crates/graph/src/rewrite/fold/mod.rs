//! Computes what depends on constants only.
//!
//! | module | folds |
//! |---|---|
//! | `movement` | what moves elements: Transpose, Reshape, Slice, Gather, Concat, ... |
//! | `arithmetic` | elementwise operators |
//! | `numbers` | the elements of constants as numbers |
//!
//! Integers that follow from shapes are known even where the shapes are of no constants.

mod arithmetic;
mod movement;
mod numbers;

pub(super) use movement::order;

use super::net::{Net, NodeId, Op, Source, ValueId};
use super::{Options, shapes};
use crate::{Constant, ElementType};

/// A constant may become this much larger than what it is made of, in bytes.
const SMALL: usize = 4 << 10;

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        let folded = net.op(id).and_then(|op| folded(net, op));
        if let Some((output, constant)) = folded {
            put(net, id, output, constant);
            changed = true;
        }
    }
    changed
}

/// The constant that the only output of a node always is.
fn folded(net: &Net, op: &Op) -> Option<(ValueId, Constant)> {
    let output = op.single_output()?;
    // An output of the graph comes from a node.
    if net.outputs.contains(&output) || op.node.subgraphs().next().is_some() {
        return None;
    }
    let constant = if op.is("Constant") { stated(op)? } else { computed(net, op, output)? };
    Some((output, constant))
}

/// What a Constant node holds.
fn stated(op: &Op) -> Option<Constant> {
    let node = &op.node;
    if let Some(tensor) = node.tensor("value") {
        return Some(tensor.clone());
    }
    let ints = |dims: &[usize], values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Constant::raw("", ElementType::Int64, dims, bytes)
    };
    if let Some(value) = node.int("value_int") {
        return Some(ints(&[], &[value]));
    }
    if let Some(values) = node.ints("value_ints") {
        return Some(ints(&[values.len()], values));
    }
    if let Some(value) = node.float("value_float") {
        return Some(Constant::floats("", &[], &[value]));
    }
    let values = node.floats("value_floats")?;
    Some(Constant::floats("", &[values.len()], values))
}

fn computed(net: &Net, op: &Op, output: ValueId) -> Option<Constant> {
    let constant = inferred(net, output).or_else(|| {
        let constants: Vec<Option<&Constant>> =
            op.inputs.iter().map(|input| net.constant((*input)?)).collect();
        let all = op
            .inputs
            .iter()
            .zip(&constants)
            .all(|(input, constant)| input.is_none() || constant.is_some());
        if !all || !is_worth_it(net, op, output) {
            return None;
        }
        let dims = net.dims(output).and_then(shapes::fixed);
        movement::fold(net, op, &constants, dims.as_deref())
            .or_else(|| arithmetic::fold(op, &constants, dims.as_deref()))
    })?;
    let is_as_inferred = net.element_type(output).is_none_or(|kind| kind == constant.element_type);
    is_as_inferred.then_some(constant)
}

/// Small integers that are the same in every run.
fn inferred(net: &Net, output: ValueId) -> Option<Constant> {
    /// What is larger may stand for "to the end".
    const LARGEST: u64 = 1 << 31;
    let known = &net.values[output].known;
    let values = known.integers.as_ref()?;
    if values.iter().any(|value| value.unsigned_abs() >= LARGEST) {
        return None;
    }
    let dims = shapes::fixed(known.dims.as_ref()?)?;
    let element_type = known.element_type?;
    numbers::Numbers::Ints(values.clone()).encode(element_type, &dims)
}

/// Whether the file does not grow by much.
fn is_worth_it(net: &Net, op: &Op, output: ValueId) -> bool {
    let Some(dims) = net.dims(output).and_then(shapes::fixed) else { return false };
    let elements = modelyard_tensor::Shape::new(&dims).elements();
    let bytes = elements
        .zip(net.element_type(output))
        .and_then(|(elements, element_type)| element_type.byte_len(elements));
    let only_here = op.inputs.iter().flatten().filter(|&&value| {
        matches!(net.values[value].source, Source::Constant(_)) && net.only_user(value).is_some()
    });
    let freed: usize = only_here
        .filter_map(|&value| net.constant(value)?.byte_len())
        .fold(0, usize::saturating_add);
    bytes.is_some_and(|bytes| bytes <= freed.saturating_add(SMALL))
}

/// Puts a constant in the place of a node, and lets go of what only that used.
fn put(net: &mut Net, id: NodeId, output: ValueId, constant: Constant) {
    let inputs = net.op(id).map_or(Vec::new(), |op| op.inputs.clone());
    net.fix(output, constant);
    net.remove(id);
    for value in inputs.into_iter().flatten() {
        net.let_go(value);
    }
}
