//! `Bucketize`: how many of a list of bounds are not above a number.

use modelyard_graph::ElementType;

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::Array;
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};

fn bounds(attrs: &Attrs) -> Vec<f32> {
    let list = attrs.get("boundaries").and_then(|value| value.list.as_ref());
    list.map(|list| list.floats.clone()).unwrap_or_default()
}

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let bounds = bounds(&call.node.attrs);
    let mut x = context.name(value)?;
    if value.element_type != ElementType::Float32 {
        x = context.cast(&x, ElementType::Float32);
    }
    let x = context.with_axes("Unsqueeze", &x, &[-1]);
    let list = context.emitter.floats("boundaries", &[bounds.len()], &bounds);
    let reached = context.add("GreaterOrEqual", &[x, list]);
    let reached = context.cast(&reached, ElementType::Int32);
    let axes = context.emitter.integers("axes", &[-1]);
    let found = context.add_node(node("ReduceSum", &[reached, axes]).with("keepdims", 0));
    Ok(vec![context.value(found, ElementType::Int32, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, bounds) = (given.input(0)?, bounds(given.attrs()));
    let bucket =
        |value: &f64| bounds.iter().filter(|&&bound| *value as f32 >= bound).count() as f64;
    let found = x.to_f64s()?.iter().map(bucket).collect();
    Ok(vec![Array::from_f64s(ElementType::Int32, x.dims(), found)?])
}
