//! The largest and the smallest element, and where it is.

use modelyard_graph::ElementType;

use super::super::operands::calculated;
use super::{evaluated_axes, over, reduced};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::reduce::{self, Over, Tie};
use crate::reference::{Array, elementwise};

/// The largest or smallest elements along an axis, and where they stand.
pub(super) fn convert_with_places(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let is_max = call.operator() == "max";
    if own.rank() == 0 {
        call.give(0, own.name);
        let zero = call.to.emitter.integer("place", 0);
        call.give(1, zero);
        return Ok(());
    }
    let element_type = match calculated(own.element_type) {
        ElementType::Bool => ElementType::Int32,
        other => other,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let axis = call.axis("dim", own.rank(), 0)? as i64;
    let kept = i64::from(call.bool_or("keepdim", false)?);
    let op_type = if is_max { "ReduceMax" } else { "ReduceMin" };
    let result = reduced(call, op_type, &value, &(vec![axis], kept));
    call.give_as(0, &result, element_type)?;
    if call.wants(1) {
        let op_type = if is_max { "ArgMax" } else { "ArgMin" };
        let place = node(op_type, &[&value]).with("axis", axis).with("keepdims", kept);
        let place = call.to.emit_node(place);
        call.give(1, place);
    }
    Ok(())
}

pub(super) fn evaluate_with_places(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    if own.rank() == 0 {
        return Ok(vec![own.as_ref().clone().into(), Array::ints(&[], vec![0])?.into()]);
    }
    let is_max = eval.operator() == "max";
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    let keep_dims = eval.bool_or("keepdim", false)?;
    let axes = [axis];
    let over = Over { axes: Some(&axes), keep_dims };
    let number = numbers(&own)?;
    let (value, place) = match is_max {
        true => {
            (reduce::max(&number, over)?, reduce::arg_max(&number, axis, keep_dims, Tie::First)?)
        }
        false => {
            (reduce::min(&number, over)?, reduce::arg_min(&number, axis, keep_dims, Tie::First)?)
        }
    };
    Ok(vec![elementwise::cast(&value, own.element_type())?.into(), place.into()])
}

/// Booleans as integers.
fn numbers(array: &Array) -> Result<Array, EvaluateError> {
    match array.element_type() {
        ElementType::Bool => elementwise::cast(array, ElementType::Int32),
        _ => Ok(array.clone()),
    }
}

pub(super) fn convert_place(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let op_type = if call.operator() == "argmax" { "ArgMax" } else { "ArgMin" };
    let kept = call.bool_or("keepdim", false)?;
    let element_type = match calculated(own.element_type) {
        ElementType::Bool => ElementType::Int32,
        other => other,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    if call.has("dim") && own.rank() > 0 {
        let axis = call.axis("dim", own.rank(), 0)? as i64;
        let place = node(op_type, &[&value]).with("axis", axis).with("keepdims", i64::from(kept));
        let place = call.to.emit_node(place);
        call.give(0, place);
        return Ok(());
    }
    let flat = call.to.ints(&[-1]);
    let flat = call.to.emit("Reshape", &[&value, &flat]);
    let place = node(op_type, &[&flat]).with("axis", 0i64).with("keepdims", 0i64);
    let mut place = call.to.emit_node(place);
    if kept {
        let axes: Vec<i64> = (0..own.rank() as i64).collect();
        place = call.to.unsqueeze(&place, &axes);
    }
    call.give(0, place);
    Ok(())
}

pub(super) fn evaluate_place(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = numbers(&*eval.tensor("self")?)?;
    let keep_dims = eval.bool_or("keepdim", false)?;
    let (array, axis, kept) = match eval.has("dim") && own.rank() > 0 {
        true => (own.clone(), eval.axis("dim", own.rank(), 0)? as i64, keep_dims),
        false => (own.clone().reshaped(&[own.len()])?, 0, false),
    };
    let place = match eval.operator() {
        "argmax" => reduce::arg_max(&array, axis, kept, Tie::First)?,
        _ => reduce::arg_min(&array, axis, kept, Tie::First)?,
    };
    match keep_dims && !eval.has("dim") {
        true => one(place.reshaped(&vec![1; own.rank()])),
        false => one(Ok(place)),
    }
}

pub(super) fn convert_aminmax(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let over = over(call, &own)?;
    let wide = calculated(own.element_type);
    let value = call.to.cast(&own.name, own.element_type, wide);
    for (index, op_type) in ["ReduceMin", "ReduceMax"].into_iter().enumerate() {
        let result = reduced(call, op_type, &value, &over);
        call.give_as(index, &result, wide)?;
    }
    Ok(())
}

pub(super) fn evaluate_aminmax(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axes = evaluated_axes(eval, own.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: eval.bool_or("keepdim", false)? };
    Ok(vec![reduce::min(&own, over)?.into(), reduce::max(&own, over)?.into()])
}
