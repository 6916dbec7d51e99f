//! `OneHot`: one element of a new axis is on. An index outside of it turns none on.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims, range};
use crate::reference::{Array, index};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (indices, on) = (call.input(0)?, call.input(2)?);
    let depth = context.integer(call.input(1)?, "a depth")?;
    let depth = usize::try_from(depth)
        .ok()
        .filter(|&depth| depth <= context.model.limits.nodes)
        .ok_or_else(|| Refusal::new(format!("a depth of {depth}"), ""))?;
    let rank = indices.rank()?;
    let axis = dims::axis(call.node.attrs.int("axis", -1), rank + 1)?;
    let mut x = context.name(indices)?;
    if indices.element_type != ElementType::Int64 {
        x = context.cast(&x, ElementType::Int64);
    }
    // ONNX counts negative indices from the end, so the places are compared instead.
    let x = context.with_axes("Unsqueeze", &x, &[axis as i64]);
    let places = range::up_to(context, depth, ElementType::Int64)?;
    let mut shape = vec![1; rank + 1];
    shape[axis] = -1;
    let places = context.reshape(&places, &shape);
    let same = context.add("Equal", &[x, places]);
    let (yes, no) = (context.name(on)?, context.name(call.input(3)?)?);
    let found = context.add("Where", &[same, yes, no]);
    let mut dims = indices.known_dims()?.to_vec();
    dims.insert(axis, Dim::Fixed(depth));
    Ok(vec![context.value(found, on.element_type, Some(dims))])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let indices = given.input(0)?;
    let depth = usize::try_from(given.integer(1)?).unwrap_or(0);
    let (on, off) = (given.number(2)?, given.number(3)?);
    let axis = given.attrs().int("axis", -1);
    let places = indices.as_ints()?.iter().map(|&place| if place < 0 { i64::MAX } else { place });
    let places = Array::ints(indices.dims(), places.collect())?;
    let element_type = given.input(2)?.element_type();
    Ok(vec![index::one_hot(&places, depth, axis, (off, on), element_type)?])
}
