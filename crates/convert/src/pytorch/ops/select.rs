//! Elements chosen by a condition or kept within bounds.

use modelyard_graph::ElementType;

use super::operands::{calculated, evaluated, result_type, typed};
use super::{Operator, operator};
use crate::EvaluateError;
use crate::pytorch::convert::{Call, Operand, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::types::is_float;
use crate::reference::elementwise;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.where.self", "condition self other", convert_where, evaluate_where),
    operator("aten.where.ScalarOther", "condition self other", convert_where, evaluate_where),
    operator("aten.where.ScalarSelf", "condition self other", convert_where, evaluate_where),
    operator("aten.where.Scalar", "condition self other", convert_where, evaluate_where),
    operator(
        "aten.masked_fill.Scalar",
        "self mask value",
        convert_masked_fill,
        evaluate_masked_fill,
    ),
    operator(
        "aten.masked_fill.Tensor",
        "self mask value",
        convert_masked_fill,
        evaluate_masked_fill,
    ),
    operator("aten.clamp.default", "self min max", convert_clamp, evaluate_clamp),
    operator("aten.clamp.Tensor", "self min max", convert_clamp, evaluate_clamp),
    operator("aten.clip.default", "self min max", convert_clamp, evaluate_clamp),
    operator("aten.clamp_min.default", "self min", convert_clamp, evaluate_clamp),
    operator("aten.clamp_min.Tensor", "self min", convert_clamp, evaluate_clamp),
    operator("aten.clamp_max.default", "self max", convert_clamp, evaluate_clamp),
    operator("aten.clamp_max.Tensor", "self max", convert_clamp, evaluate_clamp),
    operator("aten.nan_to_num.default", "self nan posinf neginf", convert_nan, evaluate_nan),
];

fn convert_where(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let condition = call.tensor("condition")?;
    let condition = call.to.cast(&condition.name, condition.element_type, ElementType::Bool);
    let (yes, no) = (call.operand("self")?, call.operand("other")?);
    let element_type = result_type(&[&yes, &no]);
    let (yes, no) = (typed(call, &yes, element_type), typed(call, &no, element_type));
    let result = call.to.emit("Where", &[&condition, &yes, &no]);
    call.give_as(0, &result, element_type)
}

fn evaluate_where(eval: &mut Eval<'_, '_>) -> Outcome {
    let condition = elementwise::cast(&*eval.tensor("condition")?, ElementType::Bool)?;
    let (operands, element_type) = evaluated(eval, &["self", "other"])?;
    let (yes, no) = (operands[0].array(element_type)?, operands[1].array(element_type)?);
    one(elementwise::select(&condition, &yes, &no))
}

fn convert_masked_fill(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, mask, value) = (call.tensor("self")?, call.tensor("mask")?, call.operand("value")?);
    let mask = call.to.cast(&mask.name, mask.element_type, ElementType::Bool);
    let value = typed(call, &value, own.element_type);
    let result = call.to.emit("Where", &[&mask, &value, &own.name]);
    call.give_as(0, &result, own.element_type)
}

fn evaluate_masked_fill(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let mask = elementwise::cast(&*eval.tensor("mask")?, ElementType::Bool)?;
    let value = eval.operand("value")?.array(own.element_type())?;
    one(elementwise::select(&mask, &value, &own))
}

/// The bounds of a clamp that are given.
fn bounds(call: &mut Call<'_, '_>) -> Result<(Option<Operand>, Option<Operand>), Refusal> {
    let low = if call.has("min") { Some(call.operand("min")?) } else { None };
    let high = if call.has("max") { Some(call.operand("max")?) } else { None };
    Ok((low, high))
}

fn convert_clamp(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.operand("self")?;
    let (low, high) = bounds(call)?;
    let mut all = vec![&own];
    all.extend(low.iter().chain(&high));
    let element_type = calculated(result_type(&all));
    let value = typed(call, &own, element_type);
    let low = low.map(|low| typed_bound(call, &low, element_type));
    let high = high.map(|high| typed_bound(call, &high, element_type));
    let scalar = |bound: &Option<(String, bool)>| bound.as_ref().is_none_or(|(_, scalar)| *scalar);
    let result = if scalar(&low) && scalar(&high) {
        let name = |bound: Option<(String, bool)>| bound.map_or(String::new(), |(name, _)| name);
        let (low, high) = (name(low), name(high));
        match high.is_empty() {
            true => call.to.emit("Clip", &[&value, &low]),
            false => call.to.emit("Clip", &[&value, &low, &high]),
        }
    } else {
        let mut value = value;
        if let Some((low, _)) = low {
            value = call.to.emit("Max", &[&value, &low]);
        }
        if let Some((high, _)) = high {
            value = call.to.emit("Min", &[&value, &high]);
        }
        value
    };
    call.give_as(0, &result, element_type)
}

/// A bound, and whether it has no dimensions.
fn typed_bound(
    call: &mut Call<'_, '_>,
    bound: &Operand,
    element_type: ElementType,
) -> (String, bool) {
    let is_scalar = !matches!(bound, Operand::Tensor(tensor) if tensor.rank() > 0);
    (typed(call, bound, element_type), is_scalar)
}

fn evaluate_clamp(eval: &mut Eval<'_, '_>) -> Outcome {
    let names: Vec<&str> =
        ["self", "min", "max"].into_iter().filter(|name| eval.has(name)).collect();
    let (operands, element_type) = evaluated(eval, &names)?;
    let arrays: Result<Vec<_>, EvaluateError> =
        operands.iter().map(|operand| operand.array(element_type)).collect();
    let mut all = names.into_iter().zip(arrays?);
    let Some((_, mut value)) = all.next() else { return Ok(Vec::new()) };
    for (name, bound) in all {
        value = match name {
            "min" => elementwise::max(&value, &bound)?,
            _ => elementwise::min(&value, &bound)?,
        }
        .into();
    }
    Ok(vec![value.as_ref().clone().into()])
}

/// Largest finite number of a float type.
fn largest(element_type: ElementType) -> f64 {
    match element_type {
        ElementType::Float16 => 65504.0,
        ElementType::Bfloat16 => f64::from(half::bf16::MAX),
        ElementType::Float64 => f64::MAX,
        _ => f64::from(f32::MAX),
    }
}

fn convert_nan(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    if !is_float(own.element_type) {
        call.give(0, own.name);
        return Ok(());
    }
    let kind = own.element_type;
    let nan = call.float_or("nan", 0.0)?;
    let high = call.float_or("posinf", largest(kind))?;
    let low = call.float_or("neginf", -largest(kind))?;
    let is_nan = call.to.emit("IsNaN", &[&own.name]);
    let nan = call.to.float(nan, kind);
    let mut value = call.to.emit("Where", &[&is_nan, &nan, &own.name]);
    for (infinity, instead) in [(f64::INFINITY, high), (f64::NEG_INFINITY, low)] {
        let (infinity, instead) = (call.to.float(infinity, kind), call.to.float(instead, kind));
        let is_infinite = call.to.emit("Equal", &[&value, &infinity]);
        value = call.to.emit("Where", &[&is_infinite, &instead, &value]);
    }
    call.give(0, value);
    Ok(())
}

fn evaluate_nan(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    if !is_float(own.element_type()) {
        return Ok(vec![own.as_ref().clone().into()]);
    }
    let nan = eval.float_or("nan", 0.0)?;
    let high = eval.float_or("posinf", largest(own.element_type()))?;
    let low = eval.float_or("neginf", -largest(own.element_type()))?;
    one(elementwise::map(&own, |value| match value {
        value if value.is_nan() => nan,
        f64::INFINITY => high,
        f64::NEG_INFINITY => low,
        value => value,
    }))
}
