//! Elements where a mask is true.

use modelyard_graph::ElementType;

use super::plan::common;
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::index::{self, Combine};
use crate::reference::{Array, layout, shape};

/// The mask, where it is the only index.
pub(super) fn only_mask(call: &mut Call<'_, '_>) -> Result<Option<Tensor>, Refusal> {
    let indices = call.optional_tensors("indices")?;
    Ok(match indices.as_slice() {
        [Some(mask), rest @ ..]
            if mask.element_type == ElementType::Bool && rest.iter().all(Option::is_none) =>
        {
            Some(mask.clone())
        }
        _ => None,
    })
}

pub(super) fn is_single(tensor: &Tensor) -> bool {
    tensor.sizes.iter().all(|size| size.known() == Some(1))
}

/// One value wherever a mask over the first axes holds.
pub(super) fn put_where(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    mask: &Tensor,
    values: &Tensor,
) -> Result<(), Refusal> {
    let behind: Vec<i64> = (mask.rank() as i64..own.rank() as i64).collect();
    let mask = call.to.unsqueeze(&mask.name, &behind);
    let value = call.to.cast(&values.name, values.element_type, own.element_type);
    let none = call.to.ints(&[]);
    let value = call.to.emit("Reshape", &[&value, &none]);
    let result = call.to.emit("Where", &[&mask, &value, &own.name]);
    call.give(0, result);
    Ok(())
}

pub(super) fn convert_select(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, mask) = (call.tensor("self")?, call.tensor("mask")?);
    let both = [own.clone(), mask.clone()];
    let (sizes, extents) = common(call, &both);
    let (own, mask) =
        (call.to.expand(&own, &sizes, &extents), call.to.expand(&mask, &sizes, &extents));
    let flat = call.to.ints(&[-1]);
    let mask = call.to.emit("Reshape", &[&mask, &flat]);
    let own = call.to.emit("Reshape", &[&own, &flat]);
    let result = call.to.emit_node(node("Compress", &[own, mask]).with("axis", 0i64));
    call.give(0, result);
    Ok(())
}

/// Array and mask broadcast and flattened.
fn masked(eval: &mut Eval<'_, '_>) -> Result<(Array, Vec<i64>), EvaluateError> {
    let (own, mask) = (eval.tensor("self")?, eval.tensor("mask")?);
    let dims = layout::broadcast(own.dims(), mask.dims())?;
    let own = shape::broadcast_to(&own, &dims)?;
    let mask = shape::broadcast_to(&mask, &dims)?;
    let truths = mask.as_bools()?.iter().enumerate().filter(|(_, truth)| **truth);
    let places = truths.map(|(at, _)| at as i64).collect();
    Ok((own, places))
}

pub(super) fn evaluate_select(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, places) = masked(eval)?;
    let flat = own.clone().reshaped(&[own.len()])?;
    one(index::gather(&flat, &Array::ints(&[places.len()], places)?, 0))
}

/// The elements of `source` in order, wherever the mask holds: the running number of each place.
pub(super) fn convert_masked_scatter(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, mask, source) = (call.tensor("self")?, call.tensor("mask")?, call.tensor("source")?);
    let extents = call.to.sizes(&own);
    let mask = call.to.expand(&mask, &own.sizes, &extents);
    let flat = call.to.ints(&[-1]);
    let flat_mask = call.to.emit("Reshape", &[&mask, &flat]);
    let number = call.to.cast(&flat_mask, ElementType::Bool, ElementType::Int64);
    let zero = call.to.emitter.integer("axis", 0);
    let running = call.to.emit("CumSum", &[&number, &zero]);
    let unit = call.to.emitter.integer("one", 1);
    let places = call.to.emit("Sub", &[&running, &unit]);
    let places = call.to.emit("Max", &[&places, &zero]);
    let source = call.to.emit("Reshape", &[&source.name, &flat]);
    let values = call.to.emit("Gather", &[&source, &places]);
    let shape = call.to.shape(&extents);
    let values = call.to.emit("Reshape", &[&values, &shape]);
    let result = call.to.emit("Where", &[&mask, &values, &own.name]);
    call.give(0, result);
    Ok(())
}

pub(super) fn evaluate_masked_scatter(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, places) = masked(eval)?;
    let source = eval.tensor("source")?;
    let source = source.as_ref().clone().reshaped(&[source.len()])?;
    let updates = shape::narrow(&source, 0, 0, places.len())?;
    let flat = own.clone().reshaped(&[own.len()])?;
    let places = Array::ints(&[places.len(), 1], places)?;
    let result = index::scatter_nd(&flat, &places, &updates, Combine::Replace)?;
    one(result.reshaped(own.dims()))
}

pub(super) fn convert_nonzero(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let found = call.to.emit("NonZero", &[&own.name]);
    let result = call.to.emit_node(node("Transpose", &[found]).with("perm", [1i64, 0]));
    call.give(0, result);
    Ok(())
}

pub(super) fn evaluate_nonzero(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    one(shape::transpose(&index::where_nonzero(&own)?, &[1, 0]))
}
