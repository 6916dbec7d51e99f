//! Operators of two values, element by element, and of any number of them.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written, is_float};
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let is_float = is_float(x.element_type);
    let name = match call.node.op_type.as_str() {
        "Add" => "AddV2",
        "Div" if is_float => "RealDiv",
        // Of integers towards zero, as in C.
        "Div" => "TruncateDiv",
        "Mod" if call.flag("fmod") => "TruncateMod",
        "Mod" => "FloorMod",
        other => other,
    };
    Ok(vec![writer.binary(name, &x, &y)])
}

pub(super) fn pow(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    if call.number(1, f64::NAN) == Ok(2.0) {
        return Ok(vec![writer.unary("Square", &x)]);
    }
    if x.element_type == y.element_type {
        return Ok(vec![writer.binary("Pow", &x, &y)]);
    }
    // The answer has the type of the base; a broken exponent is not cut off.
    let kind = if is_float(x.element_type) { x.element_type } else { ElementType::Float64 };
    let (base, exponent) = (writer.cast(&x, kind), writer.cast(&y, kind));
    let found = writer.binary("Pow", &base, &exponent);
    Ok(vec![writer.cast(&found, x.element_type)])
}

pub(super) fn compare(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let name = match call.node.op_type.as_str() {
        "GreaterOrEqual" => "GreaterEqual",
        "LessOrEqual" => "LessEqual",
        // Of booleans: one of them, not both.
        "Xor" => "NotEqual",
        other => other,
    };
    Ok(vec![writer.compare(name, &x, &y)])
}

pub(super) fn logic(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let name = if call.node.op_type == "And" { "LogicalAnd" } else { "LogicalOr" };
    Ok(vec![writer.logical(name, &x, &y)])
}

pub(super) fn select(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (condition, yes) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let no = call.tensor(writer, 2)?;
    Ok(vec![writer.select(&condition, &yes, &no)])
}

/// `Max`, `Min`, `Sum` and `Mean` of one or more values.
pub(super) fn variadic(writer: &mut Writer, call: &Call<'_>) -> Written {
    let name = match call.node.op_type.as_str() {
        "Max" => "Maximum",
        "Min" => "Minimum",
        _ => "AddV2",
    };
    let count = call.inputs.len();
    let mut found: Option<Tensor> = None;
    for index in 0..count {
        let next = call.tensor(writer, index)?;
        found = Some(match found {
            Some(before) => writer.binary(name, &before, &next),
            None => next,
        });
    }
    let found = found.ok_or_else(|| Refusal::new("a node of nothing", "the model is damaged"))?;
    Ok(vec![match call.node.op_type.as_str() {
        "Mean" => writer.with_number("RealDiv", &found, count as f64)?,
        _ => found,
    }])
}
