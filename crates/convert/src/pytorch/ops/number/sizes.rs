//! Sizes of tensors, and their only element, as numbers.

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::pytorch::convert::{Call, Extent, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::types::{Kind, is_float, kind};

pub(super) fn convert_size(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let extent = call.to.size(&own, axis);
    call.give_extent(0, extent);
    Ok(())
}

pub(super) fn evaluate_size(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = own.dims().get(axis).copied().unwrap_or(1);
    Ok(vec![Value::Int(size as i64)])
}

pub(super) fn convert_numel(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let extents = call.to.sizes(&own);
    let product = call.to.product(&extents);
    call.give_extent(0, product);
    Ok(())
}

pub(super) fn evaluate_numel(eval: &mut Eval<'_, '_>) -> Outcome {
    Ok(vec![Value::Int(eval.tensor("self")?.len() as i64)])
}

/// The one element of a tensor as a number.
pub(super) fn convert_item(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    if kind(own.element_type) == Kind::Int {
        let long = call.to.cast(&own.name, own.element_type, ElementType::Int64);
        let one = call.to.ints(&[1]);
        let vector = call.to.emit("Reshape", &[&long, &one]);
        call.give_extent(0, Extent::Value(vector));
        return Ok(());
    }
    let wide = if is_float(own.element_type) { ElementType::Float32 } else { ElementType::Bool };
    let value = call.to.cast(&own.name, own.element_type, wide);
    let none = call.to.ints(&[]);
    let value = call.to.emit("Reshape", &[&value, &none]);
    call.give_number(0, value);
    Ok(())
}

pub(super) fn evaluate_item(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let value = own.to_f64s()?.first().copied();
    let value =
        value.ok_or_else(|| EvaluateError::new("a tensor without elements is no number"))?;
    Ok(vec![match kind(own.element_type()) {
        Kind::Bool => Value::Bool(value != 0.0),
        Kind::Int => Value::Int(own.as_ints()?.first().copied().unwrap_or(0)),
        Kind::Float => Value::Float(value),
    }])
}
