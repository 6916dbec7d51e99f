//! `PAD`, `PADV2`: zeros or a value around a tensor; `MIRROR_PAD`: its own elements.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use super::reshape::{Moved, give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::shape::{Padding, pad};

/// The list of pairs as all that comes before, then all that comes after.
fn halves(pairs: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let before = pairs.iter().step_by(2).copied().collect();
    let after = pairs.iter().skip(1).step_by(2).copied().collect();
    (before, after)
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let pairs = cx.required(op, 1, "a padding")?;
    if op.kind == "MIRROR_PAD" {
        return convert_mirror(cx, op, &pairs);
    }
    let (before, after) = halves(&pairs);
    let x = padded(cx, input, output)?;
    let pads = cx.emitter.integers("pads", &[before, after].concat());
    let mut inputs = vec![x.name, pads];
    if let Some(value) = value(cx, op, x.is_raw)? {
        inputs.push(value);
    }
    let y = cx.emitter.add(node("Pad", &inputs).with("mode", "constant"));
    give_moved(cx, output, y, x.is_raw)
}

/// What is padded: integers of 16 bits as real numbers, since engines pad no such integers.
pub(super) fn padded(cx: &mut Converter<'_>, from: usize, to: usize) -> Result<Moved, Stop> {
    if cx.element_type(from)? == ElementType::Int16 && cx.tensor(from).quantized().is_some() {
        return Ok(Moved { name: cx.real(from)?, is_raw: false });
    }
    moved(cx, from, to)
}

/// What is put around: the integer that stands for zero, where integers are padded.
fn value(cx: &mut Converter<'_>, op: &Operator, is_raw: bool) -> Result<Option<String>, Stop> {
    if op.kind == "PADV2" {
        let value = op.input(2)?;
        let name = if is_raw { cx.raw(value)? } else { cx.real(value)? };
        if cx.rank(value) == 0 {
            return Ok(Some(name));
        }
        let axes = cx.emitter.integers("axes", &[0]);
        return Ok(Some(cx.emitter.add(node("Squeeze", &[name, axes]))));
    }
    let input = op.input(0)?;
    let zero_point = cx.tensor(input).quantized().and_then(|found| found.zero_points.first());
    match zero_point {
        Some(&zero_point) if is_raw && zero_point != 0 => {
            let element_type = cx.element_type(input)?;
            Ok(Some(cx.emitter.constant(super::fill::number("zero", element_type, zero_point))))
        }
        _ => Ok(None),
    }
}

fn mode(op: &Operator) -> Result<Padding, Stop> {
    match op.options.code(0)? {
        0 => Ok(Padding::Reflect),
        1 => Ok(Padding::Symmetric),
        found => Err(mismatch(format!("expected a mode of 0 or 1, found {found}"))),
    }
}

/// ONNX has no mode that repeats the border: there, strips are turned around and put beside.
fn convert_mirror(cx: &mut Converter<'_>, op: &Operator, pairs: &[i64]) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    if mode(op)? == Padding::Reflect {
        let x = padded(cx, input, output)?;
        let (before, after) = halves(pairs);
        let pads = cx.emitter.integers("pads", &[before, after].concat());
        let y = cx.emitter.add(node("Pad", &[x.name, pads]).with("mode", "reflect"));
        return give_moved(cx, output, y, x.is_raw);
    }
    // Joined as real numbers, since not every engine joins integers of 8 bits.
    let is_raw = cx.tensor(input).quantized().is_none();
    let mut y = if is_raw { cx.raw(input)? } else { cx.real(input)? };
    for (axis, pair) in pairs.chunks_exact(2).enumerate() {
        let mut parts = vec![y.clone()];
        if pair[0] > 0 {
            parts.insert(0, strip(cx, &y, axis as i64, pair[0] - 1, i64::MIN));
        }
        if pair[1] > 0 {
            parts.push(strip(cx, &y, axis as i64, -1, -1 - pair[1]));
        }
        if parts.len() > 1 {
            y = cx.emitter.add(node("Concat", &parts).with("axis", axis as i64));
        }
    }
    give_moved(cx, output, y, is_raw)
}

/// Elements along an axis, backwards.
fn strip(cx: &mut Converter<'_>, x: &str, axis: i64, start: i64, stop: i64) -> String {
    let start = cx.emitter.integers("start", &[start]);
    let stop = cx.emitter.integers("stop", &[stop]);
    let axes = cx.emitter.integers("axis", &[axis]);
    let step = cx.emitter.integers("step", &[-1]);
    cx.emitter.add(node("Slice", &[x, &start, &stop, &axes, &step]))
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let (before, after) = halves(&cx.ints(op.input(1)?)?);
    let padding = match op.kind.as_str() {
        "MIRROR_PAD" => mode(op)?,
        "PADV2" => {
            let is_raw = cx.quantized(input) == cx.quantized(output);
            let value = op.input(2)?;
            let value = if is_raw { cx.raw(value)? } else { cx.real(value)? };
            Padding::Constant(value.to_f64s()?.first().copied().unwrap_or(0.0))
        }
        _ => {
            let zero = cx.quantized(input).filter(|_| cx.quantized(input) == cx.quantized(output));
            let zero = zero.and_then(|found| found.zero_points.first().copied()).unwrap_or(0);
            Padding::Constant(zero as f64)
        }
    };
    let array = taken(cx, input, output)?;
    let sides = array.dims().iter().zip(before.iter().zip(&after));
    let padded: Vec<usize> = sides
        .map(|(&size, (&before, &after))| {
            let more = usize::try_from(before.saturating_add(after)).unwrap_or(0);
            size.saturating_add(more)
        })
        .collect();
    cx.room(&padded)?;
    put(cx, (input, output), pad(&array, &before, &after, padding)?)
}
