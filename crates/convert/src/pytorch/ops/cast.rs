//! Tensors of another type, copies, and what changes nothing in inference.

use modelyard_graph::ElementType;

use super::{Operator, operator};
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, Value, one};
use crate::pytorch::types::is_float;
use crate::reference::{Array, elementwise, shape};

const TO: &str = "self dtype non_blocking copy memory_format";
const LAYOUT: &str = "self dtype layout device pin_memory non_blocking copy memory_format";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.to.dtype", TO, convert, evaluate),
    operator("aten.to.dtype_layout", LAYOUT, convert, evaluate),
    operator("aten.to.device", "self device dtype non_blocking copy", convert, evaluate),
    operator("aten.to.prim_Device", "self device dtype non_blocking copy", convert, evaluate),
    operator("aten.to.other", "self other non_blocking copy", convert, evaluate),
    operator("aten._to_copy.default", LAYOUT, convert, evaluate),
    operator("aten.type_as.default", "self other", convert, evaluate),
    operator("aten.float.default", "self", convert_named, evaluate_named),
    operator("aten.half.default", "self", convert_named, evaluate_named),
    operator("aten.double.default", "self", convert_named, evaluate_named),
    operator("aten.long.default", "self", convert_named, evaluate_named),
    operator("aten.int.default", "self", convert_named, evaluate_named),
    operator("aten.bool.default", "self", convert_named, evaluate_named),
    operator("aten.clone.default", "self memory_format", convert_same, evaluate_copy),
    operator("aten.contiguous.default", "self memory_format", convert_same, evaluate_contiguous),
    operator("aten.detach.default", "self", convert_same, evaluate_same),
    operator("aten.alias.default", "self", convert_same, evaluate_same),
    operator("aten.lift_fresh.default", "self", convert_same, evaluate_same),
    operator("aten.lift_fresh_copy.default", "self", convert_same, evaluate_copy),
    operator("aten.alias_copy.default", "self", convert_same, evaluate_copy),
    operator("aten.detach_copy.default", "self", convert_same, evaluate_copy),
    operator("aten.dropout.default", "input p train", convert_dropout, evaluate_dropout),
    operator("aten.alpha_dropout.default", "input p train", convert_dropout, evaluate_dropout),
    operator("aten.feature_dropout.default", "input p train", convert_dropout, evaluate_dropout),
    operator(
        "aten.feature_alpha_dropout.default",
        "input p train",
        convert_dropout,
        evaluate_dropout,
    ),
    operator("aten.native_dropout.default", "input p train", convert_dropout, evaluate_dropout),
    operator("aten.copy.default", "self src non_blocking", convert_copy, evaluate_into),
    operator("aten.fill.Scalar", "self value", convert_fill, evaluate_fill),
    operator("aten.fill.Tensor", "self value", convert_fill, evaluate_fill),
    operator("aten.zero.default", "self", convert_fill, evaluate_fill),
];

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (element_type, _) = call.output(0)?;
    let result = cast(call, &own.name, own.element_type, element_type);
    call.give(0, result);
    Ok(())
}

/// From floats to unsigned integers PyTorch wraps negative numbers, engines may not: over 64 bits.
fn cast(call: &mut Call<'_, '_>, name: &str, from: ElementType, to: ElementType) -> String {
    let is_unsigned = matches!(to, ElementType::Uint8 | ElementType::Uint16 | ElementType::Uint32);
    if is_float(from) && is_unsigned {
        let long = call.to.cast(name, from, ElementType::Int64);
        return call.to.cast(&long, ElementType::Int64, to);
    }
    call.to.cast(name, from, to)
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let element_type = match eval.has("other") {
        true => eval.view("other")?.element_type(),
        false => eval.element_type("dtype")?.unwrap_or(own.element_type()),
    };
    let copies = eval.operator() == "_to_copy" || eval.bool_or("copy", false)?;
    if element_type == own.element_type() && !copies {
        return Ok(vec![Value::Tensor(own)]);
    }
    one(elementwise::cast(&*own.array()?, element_type))
}

/// The type in the name of an operator.
fn named(operator: &str) -> ElementType {
    match operator {
        "half" => ElementType::Float16,
        "double" => ElementType::Float64,
        "long" => ElementType::Int64,
        "int" => ElementType::Int32,
        "bool" => ElementType::Bool,
        _ => ElementType::Float32,
    }
}

fn convert_named(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let element_type = named(call.operator());
    let result = cast(call, &own.name, own.element_type, element_type);
    call.give_as(0, &result, element_type)
}

fn evaluate_named(eval: &mut Eval<'_, '_>) -> Outcome {
    one(elementwise::cast(&*eval.tensor("self")?, named(eval.operator())))
}

fn convert_same(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    call.give(0, own.name);
    Ok(())
}

fn evaluate_same(eval: &mut Eval<'_, '_>) -> Outcome {
    Ok(vec![Value::Tensor(eval.view("self")?)])
}

fn evaluate_copy(eval: &mut Eval<'_, '_>) -> Outcome {
    Ok(vec![eval.tensor("self")?.as_ref().clone().into()])
}

fn evaluate_contiguous(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    if own.is_dense() { Ok(vec![Value::Tensor(own)]) } else { evaluate_copy(eval) }
}

fn convert_dropout(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("input")?;
    if call.bool_or("train", false)? && call.float_or("p", 0.5)? != 0.0 {
        return Err(Refusal::new(
            "dropout, as in training",
            "call `model.eval()` before the export",
        ));
    }
    call.give(0, own.name);
    Ok(())
}

fn evaluate_dropout(eval: &mut Eval<'_, '_>) -> Outcome {
    Ok(vec![Value::Tensor(eval.view("input")?)])
}

/// `src` in the type and shape of `self`.
fn convert_copy(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, src) = (call.tensor("self")?, call.tensor("src")?);
    let value = cast(call, &src.name, src.element_type, own.element_type);
    let value =
        crate::pytorch::convert::Tensor { name: value, element_type: own.element_type, ..src };
    let extents = if own.sizes.iter().all(|size| size.known().is_some()) {
        Vec::new()
    } else {
        call.to.sizes(&own)
    };
    let result = call.to.expand(&value, &own.sizes, &extents);
    call.give(0, result);
    Ok(())
}

fn evaluate_into(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, src) = (eval.view("self")?, eval.tensor("src")?);
    let cast = elementwise::cast(&src, own.element_type())?;
    one(shape::broadcast_to(&cast, own.dims()))
}

fn convert_fill(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    use crate::pytorch::convert::{Operand, Scalar};
    let own = call.tensor("self")?;
    let value = match call.has("value") {
        true => call.operand("value")?,
        false => Operand::Number(Scalar::Int(0)),
    };
    let extents = call.to.sizes(&own);
    let result = match value {
        Operand::Number(value) => call.to.filled(&extents, value, own.element_type),
        other => {
            let value = super::operands::typed(call, &other, own.element_type);
            let shape = call.to.shape(&extents);
            call.to.emit("Expand", &[&value, &shape])
        }
    };
    call.give(0, result);
    Ok(())
}

fn evaluate_fill(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let value = match eval.has("value") {
        true => eval.operand("value")?.array(own.element_type())?,
        false => std::rc::Rc::new(Array::from_f64s(own.element_type(), &[], vec![0.0])?),
    };
    one(shape::broadcast_to(&value, own.dims()))
}
