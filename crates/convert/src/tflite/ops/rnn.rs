//! `RNN` and `UNIDIRECTIONAL_SEQUENCE_RNN`: `activation(W x + R h + b)`, whose `h` is a variable
//! tensor.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::elementwise::{add, map};
use crate::reference::matmul::linear;
use crate::reference::shape::{narrow, stack};

/// Steps that are written one after the other at most.
const STEPS_MAX: usize = 256;

/// Whether the input is a sequence, whether time is its first axis, and the activation.
fn parts(op: &Operator) -> Result<(bool, bool, Activation), Stop> {
    let is_sequence = op.kind == "UNIDIRECTIONAL_SEQUENCE_RNN";
    let field = usize::from(is_sequence);
    Ok((is_sequence, is_sequence && op.options.bool(0)?, op.activation(field)?))
}

/// The steps are written one by one: few engines know ONNX's `RNN`.
pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (is_sequence, time_major, activation) = parts(op)?;
    let input = op.input(0)?;
    let x = cx.real(input)?;
    let (weights, recurrent) = (cx.real(op.input(1)?)?, cx.real(op.input(2)?)?);
    let bias = cx.real(op.input(3)?)?;
    let state = op.input(4)?;
    let mut hidden = cx.real(state)?;
    let axis = if time_major { 0 } else { 1 };
    let mut frames = vec![x.clone()];
    let axes = cx.emitter.integers("axes", &[axis]);
    if is_sequence {
        let time = cx.dims(input).get(axis as usize).copied().flatten();
        let time = time.filter(|&time| time <= STEPS_MAX && time > 0).ok_or_else(|| {
            refused("a sequence of unknown length", "export the model with a fixed length")
        })?;
        let sizes = cx.emitter.integers("sizes", &vec![1; time]);
        frames = match time {
            1 => vec![x],
            _ => cx.emitter.add_many(node("Split", &[x, sizes]).with("axis", axis), time),
        };
    }
    let mut outputs = Vec::new();
    for frame in frames {
        let frame = match is_sequence {
            true => cx.emitter.add(node("Squeeze", &[&frame, &axes])),
            false => frame,
        };
        let own = cx.emitter.add(node("Gemm", &[&frame, &weights, &bias]).with("transB", 1i64));
        let sum = cx.emitter.add(node("Gemm", &[&hidden, &recurrent]).with("transB", 1i64));
        let sum = cx.emitter.add(node("Add", &[own, sum]));
        hidden = cx.activated(&sum, activation);
        outputs.push(match is_sequence {
            true => cx.emitter.add(node("Unsqueeze", &[&hidden, &axes])),
            false => hidden.clone(),
        });
    }
    cx.next_state(state, hidden)?;
    let y = match outputs.as_slice() {
        [only] => only.clone(),
        _ => cx.emitter.add(node("Concat", &outputs).with("axis", axis)),
    };
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (is_sequence, time_major, activation) = parts(op)?;
    let x = cx.real(op.input(0)?)?;
    let (weights, recurrent) = (cx.real(op.input(1)?)?, cx.real(op.input(2)?)?);
    let bias = cx.real(op.input(3)?)?;
    let state = op.input(4)?;
    let mut hidden = Array::clone(&*cx.real(state)?);
    let mut walk = |frame: &Array| -> Result<Array, Stop> {
        let own = linear(frame, &weights, Some(&bias))?;
        let sum = add(&own, &linear(&hidden, &recurrent, None)?)?;
        hidden = map(&sum, |value| f64::from(activation.apply(value as f32)))?;
        Ok(hidden.clone())
    };
    let y = if is_sequence {
        let axis = if time_major { 0 } else { 1 };
        let time = x.dims().get(axis).copied().unwrap_or(0);
        let mut outputs = Vec::new();
        for at in 0..time {
            let frame = narrow(&x, axis as i64, at, 1)?;
            let &[a, b, columns] = frame.dims() else {
                return Err(mismatch("expected a sequence"));
            };
            outputs.push(walk(&frame.reshaped(&[a * b, columns])?)?);
        }
        stack(&outputs.iter().collect::<Vec<_>>(), axis as i64)?
    } else {
        walk(&x)?
    };
    cx.next_state(state, hidden)?;
    cx.give_real(op.output(0)?, y)
}
