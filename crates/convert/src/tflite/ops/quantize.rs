//! Between real numbers and what is stored: `QUANTIZE`, `DEQUANTIZE`, `DENSIFY`, `CAST`,
//! `FAKE_QUANT`.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::quantization::Multiplier;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::elementwise::{cast, map};

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    cx.give(op.output(0)?, x)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let (Some(from), Some(to)) = (cx.quantized(input), cx.quantized(output)) else {
        let x = cx.real(input)?;
        return cx.give_real(output, Array::clone(&x));
    };
    let ((from_scale, from_zero), (scale, zero)) = (from.single()?, to.single()?);
    let multiplier = Multiplier::new(from_scale / scale);
    let raw = cx.raw(input)?;
    let step = |&step: &i64| i64::from(multiplier.apply((step - from_zero) as i32)) + zero;
    let steps = raw.as_ints()?.iter().map(step).collect();
    cx.give_steps(output, raw.dims(), steps)
}

/// Of a constant nothing is written here: whoever uses it writes it as it needs it.
pub(super) fn convert_back(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    if cx.is_constant(output) {
        return Ok(());
    }
    let mut x = cx.real(input)?;
    let is_half = matches!(cx.element_type(input)?, ElementType::Float16 | ElementType::Bfloat16);
    if is_half {
        x = cx.cast(&x, ElementType::Float32);
    }
    cx.give_raw(output, x);
    Ok(())
}

pub(super) fn evaluate_back(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    cx.give(op.output(0)?, Array::clone(&x))
}

pub(super) fn convert_dense(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    if cx.is_constant(output) {
        return Ok(());
    }
    let x = cx.raw(input)?;
    cx.give_raw(output, x);
    Ok(())
}

pub(super) fn evaluate_dense(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.raw(op.input(0)?)?;
    cx.give(op.output(0)?, Array::clone(&x))
}

pub(super) fn convert_cast(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let x = cx.raw(input)?;
    let element_type = cx.element_type(output)?;
    let y = cx.cast(&x, element_type);
    cx.give_raw(output, y);
    Ok(())
}

pub(super) fn evaluate_cast(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let element_type = cx.tensor(output).element_type;
    let element_type = element_type.ok_or_else(|| mismatch("a handle is no number"))?;
    let x = cx.raw(op.input(0)?)?;
    cx.give(output, cast(&x, element_type)?)
}

/// The range of a fake quantization, moved so that zero is one of its steps.
struct Range {
    low: f32,
    high: f32,
    scale: f32,
}

fn range(op: &Operator) -> Result<Range, Stop> {
    let (low, high) = (op.options.f32(0)?, op.options.f32(1)?);
    let bits = op.options.i32(2)?;
    if !(2..=16).contains(&bits) || low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
        return Err(mismatch(format!("{bits} bits for {low} to {high}")));
    }
    let least = if op.options.bool(3)? { 1.0 } else { 0.0 };
    let most = ((1u32 << bits) - 1) as f32;
    let scale = (high - low) / (most - least);
    let zero = (least - low / scale).clamp(least, most).round();
    Ok(Range { low: (least - zero) * scale, high: (most - zero) * scale, scale })
}

pub(super) fn convert_fake(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let range = range(op)?;
    let x = cx.real(op.input(0)?)?;
    let x = cx.clipped(&x, range.low, range.high);
    let low = cx.emitter.scalar("low", range.low);
    let scale = cx.emitter.scalar("scale", range.scale);
    let y = cx.emitter.add(node("Sub", &[&x, &low]));
    let y = cx.emitter.add(node("Div", &[&y, &scale]));
    let y = cx.emitter.add(node("Round", &[y]));
    let y = cx.emitter.add(node("Mul", &[&y, &scale]));
    let y = cx.emitter.add(node("Add", &[&y, &low]));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate_fake(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let Range { low, high, scale } = range(op)?;
    let (low, high, scale) = (f64::from(low), f64::from(high), f64::from(scale));
    let x = cx.real(op.input(0)?)?;
    let fake = |value: f64| ((value.clamp(low, high) - low) / scale).round() * scale + low;
    cx.give_real(op.output(0)?, map(&x, fake)?)
}
