//! `SOFTMAX` and `LOG_SOFTMAX` along the last axis.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::Stop;
use crate::emitter::node;
use crate::reference::Array;

/// The factor of the exponents.
fn beta(op: &Operator) -> Result<f32, Stop> {
    let is_plain = op.kind == "LOG_SOFTMAX" || op.options.0.is_none();
    Ok(if is_plain { 1.0 } else { op.options.f32(0)? })
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let mut x = cx.real(op.input(0)?)?;
    let beta = beta(op)?;
    if beta != 1.0 {
        let beta = cx.emitter.scalar("beta", beta);
        x = cx.emitter.add(node("Mul", &[x, beta]));
    }
    let name = if op.kind == "SOFTMAX" { "Softmax" } else { "LogSoftmax" };
    let y = cx.emitter.add(node(name, &[x]).with("axis", -1i64));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let beta = f64::from(beta(op)?);
    let width = x.dims().last().copied().unwrap_or(1).max(1);
    let mut values = Vec::with_capacity(x.len());
    for row in x.as_floats()?.chunks(width) {
        let largest = row.iter().fold(f32::NEG_INFINITY, |most, &value| most.max(value));
        let exponent = |&value: &f32| f64::from(value - largest) * beta;
        let sum: f64 = row.iter().map(|value| exponent(value).exp()).sum();
        values.extend(row.iter().map(|value| match op.kind.as_str() {
            "SOFTMAX" => (exponent(value).exp() / sum) as f32,
            _ => (exponent(value) - sum.ln()) as f32,
        }));
    }
    cx.give_real(op.output(0)?, Array::floats(x.dims(), values)?)
}
