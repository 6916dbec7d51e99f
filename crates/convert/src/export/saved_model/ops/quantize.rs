//! Quantization, by arithmetic: the same numbers as ONNX defines, whatever runs them.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::constant;
use crate::export::saved_model::value::{Refusal, Tensor, Value};
use crate::export::saved_model::writer::Writer;

/// The numbers that a type of integers has.
fn bounds(kind: ElementType) -> Option<(f64, f64)> {
    Some(match kind {
        ElementType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        ElementType::Uint8 => (0.0, u8::MAX.into()),
        ElementType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        ElementType::Uint16 => (0.0, u16::MAX.into()),
        _ => return None,
    })
}

/// A scale or zero point, so that it is broadcast along the axis that it belongs to.
fn along(writer: &mut Writer, call: &Call<'_>, value: &Value) -> Result<Tensor, Refusal> {
    let tensor = writer.tensor(value)?;
    match value.rank()? {
        0 => Ok(tensor),
        1 if value.size(0) == Some(1) => writer.reshape(&tensor, &[]),
        1 => {
            let rank = call.value(0)?.rank()?;
            let axis = call.axis("axis", 1)?;
            if axis + 1 == rank {
                return Ok(tensor);
            }
            let sizes: Vec<i64> = (0..rank).map(|each| if each == axis { -1 } else { 1 }).collect();
            writer.reshape(&tensor, &sizes)
        }
        _ => Err(Refusal::new("scales of blocks", "quantize by tensor or by axis")),
    }
}

/// The zero point, unless it is 0.
fn zero_point<'a>(call: &'a Call<'_>, index: usize) -> Option<&'a Value> {
    let value = call.optional(index)?;
    let numbers = value.constant().and_then(|zero| constant::numbers(zero).ok());
    let is_zero = numbers.is_some_and(|numbers| numbers.iter().all(|&number| number == 0.0));
    (!is_zero).then_some(value)
}

pub(super) fn quantize(writer: &mut Writer, call: &Call<'_>) -> Written {
    let kind = match (call.optional(2), call.node.int("output_dtype")) {
        (Some(zero), _) => Some(zero.element_type),
        (None, Some(code)) if code != 0 => {
            i32::try_from(code).ok().and_then(ElementType::from_code)
        }
        _ => Some(ElementType::Uint8),
    };
    let known = kind.and_then(|kind| Some((kind, bounds(kind)?)));
    let (kind, (low, high)) = known.ok_or_else(|| {
        let found = kind.map_or("?", ElementType::name);
        Refusal::new(format!("numbers of type {found}"), "quantize to 8 or 16 bits")
    })?;
    let x = call.tensor(writer, 0)?;
    let scale = along(writer, call, call.value(1)?)?;
    let scale = writer.cast(&scale, x.element_type);
    let steps = writer.binary("RealDiv", &x, &scale);
    // Half a step goes to the even number, in both.
    let mut steps = writer.unary("Round", &steps);
    if let Some(zero) = zero_point(call, 2) {
        let zero = along(writer, call, zero)?;
        let zero = writer.cast(&zero, x.element_type);
        steps = writer.binary("AddV2", &steps, &zero);
    }
    let steps = writer.with_number("Maximum", &steps, low)?;
    let steps = writer.with_number("Minimum", &steps, high)?;
    Ok(vec![writer.cast(&steps, kind)])
}

pub(super) fn dequantize(writer: &mut Writer, call: &Call<'_>) -> Written {
    let mut x = call.tensor(writer, 0)?;
    if bounds(x.element_type).is_none() && x.element_type != ElementType::Int32 {
        let reason = format!("numbers of type {}", x.element_type);
        return Err(Refusal::new(reason, "quantize to 8 or 16 bits"));
    }
    let scale = along(writer, call, call.value(1)?)?;
    if let Some(zero) = zero_point(call, 2) {
        let zero = along(writer, call, zero)?;
        let zero = writer.cast(&zero, ElementType::Int32);
        x = writer.cast(&x, ElementType::Int32);
        x = writer.binary("Sub", &x, &zero);
    }
    let numbers = writer.cast(&x, scale.element_type);
    Ok(vec![writer.binary("Mul", &numbers, &scale)])
}

/// Quantization to 8 bits by the smallest and largest element.
pub(super) fn dynamic(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let axes: Vec<usize> = (0..call.value(0)?.rank()?).collect();
    let most = writer.reduce("Max", &x, (&axes, false))?;
    let least = writer.reduce("Min", &x, (&axes, false))?;
    let (most, least) =
        (writer.with_number("Maximum", &most, 0.0)?, writer.with_number("Minimum", &least, 0.0)?);
    let width = writer.binary("Sub", &most, &least);
    let scale = writer.with_number("RealDiv", &width, 255.0)?;
    let zero = writer.unary("Neg", &least);
    let zero = writer.binary("RealDiv", &zero, &scale);
    let zero = writer.unary("Round", &zero);
    let zero = writer.with_number("Maximum", &zero, 0.0)?;
    let zero = writer.with_number("Minimum", &zero, 255.0)?;
    let steps = writer.binary("RealDiv", &x, &scale);
    let steps = writer.unary("Round", &steps);
    let steps = writer.binary("AddV2", &steps, &zero);
    let steps = writer.with_number("Maximum", &steps, 0.0)?;
    let steps = writer.with_number("Minimum", &steps, 255.0)?;
    let kind = ElementType::Uint8;
    let (steps, zero) = (writer.cast(&steps, kind), writer.cast(&zero, kind));
    Ok(vec![steps, scale, zero])
}
