//! `L2_NORMALIZATION`: vectors along the last axis at length 1; `LOCAL_RESPONSE_NORMALIZATION`:
//! divided by what channels nearby respond.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::Array;

/// Vectors are not taken to be shorter than this.
const SHORTEST: f32 = 1e-6;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let axes = cx.emitter.integers("axes", &[-1]);
    let length = cx.emitter.add(node("ReduceL2", &[&x, &axes]).with("keepdims", 1i64));
    let shortest = cx.emitter.scalar("shortest", SHORTEST);
    let length = cx.emitter.add(node("Max", &[length, shortest]));
    let y = cx.emitter.add(node("Div", &[x, length]));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let width = x.dims().last().copied().unwrap_or(1).max(1);
    let mut values = Vec::with_capacity(x.len());
    for row in x.as_floats()?.chunks(width) {
        let squares: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
        let length = squares.sqrt().max(SHORTEST.into());
        values.extend(row.iter().map(|&value| (f64::from(value) / length) as f32));
    }
    cx.give_real(op.output(0)?, Array::floats(x.dims(), values)?)
}

/// Channels on each side, and `bias + alpha * sum` to the power of `beta`.
struct Local {
    radius: usize,
    bias: f32,
    alpha: f32,
    beta: f32,
}

fn local(op: &Operator) -> Result<Local, Stop> {
    let radius = op.options.i32(0)?;
    let radius = usize::try_from(radius).ok().filter(|&radius| radius < 1 << 16);
    Ok(Local {
        radius: radius.ok_or_else(|| mismatch("its radius is not a size"))?,
        bias: op.options.f32(1)?,
        alpha: op.options.f32(2)?,
        beta: op.options.f32(3)?,
    })
}

pub(super) fn convert_local(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let local = local(op)?;
    let x = cx.channels_first(op.input(0)?)?;
    let size = 2 * local.radius + 1;
    // ONNX takes the mean of the squares, TensorFlow their sum.
    let norm = node("LRN", &[x])
        .with("size", size as i64)
        .with("bias", local.bias)
        .with("alpha", local.alpha * size as f32)
        .with("beta", local.beta);
    let y = cx.emitter.add(norm);
    cx.give_image(op.output(0)?, &y)
}

pub(super) fn evaluate_local(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let local = local(op)?;
    let x = cx.real(op.input(0)?)?;
    let width = x.dims().last().copied().unwrap_or(1).max(1);
    let mut values = Vec::with_capacity(x.len());
    for row in x.as_floats()?.chunks(width) {
        for (channel, &value) in row.iter().enumerate() {
            let near =
                channel.saturating_sub(local.radius)..(channel + local.radius + 1).min(row.len());
            let sum: f64 = row[near].iter().map(|&value| f64::from(value).powi(2)).sum();
            let base = f64::from(local.bias) + f64::from(local.alpha) * sum;
            values.push((f64::from(value) / base.powf(local.beta.into())) as f32);
        }
    }
    cx.give_real(op.output(0)?, Array::floats(x.dims(), values)?)
}
