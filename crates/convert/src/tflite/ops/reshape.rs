//! Operators that see the same elements in another shape: `RESHAPE`, `SQUEEZE`, `EXPAND_DIMS`.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::shape::{expand_dims, squeeze};

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let shape = target(cx, op)?;
    let x = moved(cx, input, output)?;
    let y = cx.emitter.add(node("Reshape", &[x.name, shape]));
    give_moved(cx, output, y, x.is_raw)
}

/// The shape that is wanted. Sizes that are known are written, so that no computed shape stays.
fn target(cx: &mut Converter<'_>, op: &Operator) -> Result<String, Stop> {
    let dims = cx.dims(op.output(0)?).to_vec();
    let free = dims.iter().filter(|size| size.is_none()).count();
    let is_certain = free == 0 || (free == 1 && !dims.contains(&Some(0)));
    let stated = match op.optional(1) {
        Some(shape) => cx.integers(shape)?,
        None => op.options.i32s(0)?.map(|sizes| sizes.into_iter().map(i64::from).collect()),
    };
    // With one free size, what the file says of the others makes it certain, even where the shape is
    // computed at run time.
    if is_certain && (stated.is_some() || free == 1) {
        let sizes: Vec<i64> = dims.iter().map(|size| size.map_or(-1, |size| size as i64)).collect();
        return Ok(cx.emitter.integers("shape", &sizes));
    }
    match (stated, op.optional(1)) {
        (Some(sizes), _) => Ok(cx.emitter.integers("shape", &sizes)),
        (None, Some(shape)) => cx.int64(shape),
        (None, None) => Err(mismatch("it has no shape")),
    }
}

/// A value that an operator only moves.
pub(super) struct Moved {
    pub(super) name: String,
    /// Whether it is what is stored, rather than the real numbers.
    pub(super) is_raw: bool,
}

/// What an operator that only moves elements takes: what is stored, where both sides mean the same
/// by it.
pub(super) fn moved(cx: &mut Converter<'_>, from: usize, to: usize) -> Result<Moved, Stop> {
    let is_raw = cx.tensor(from).quantized() == cx.tensor(to).quantized();
    let name = if is_raw { cx.raw(from)? } else { cx.real(from)? };
    Ok(Moved { name, is_raw })
}

/// Gives what an operator moved.
pub(super) fn give_moved(
    cx: &mut Converter<'_>,
    output: usize,
    name: String,
    is_raw: bool,
) -> Result<(), Stop> {
    if is_raw {
        cx.give_raw(output, name);
        return Ok(());
    }
    cx.give(output, name)
}

/// The elements of an input, as far as an output can take them as they are stored.
pub(super) fn taken(cx: &mut Evaluation<'_>, from: usize, to: usize) -> Result<Array, Stop> {
    let is_raw = cx.quantized(from) == cx.quantized(to);
    let array = if is_raw { cx.raw(from)? } else { cx.real(from)? };
    Ok(Array::clone(&array))
}

/// Gives elements that were [`taken`].
pub(super) fn put(
    cx: &mut Evaluation<'_>,
    (from, to): (usize, usize),
    array: Array,
) -> Result<(), Stop> {
    if cx.quantized(from) == cx.quantized(to) {
        return cx.give(to, array);
    }
    cx.give_real(to, array)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, input, output)?;
    let sizes: Vec<i64> = match op.optional(1) {
        Some(shape) => cx.ints(shape)?,
        None => op.options.i32s(0)?.unwrap_or_default().into_iter().map(i64::from).collect(),
    };
    let known: usize = sizes.iter().filter_map(|&size| usize::try_from(size).ok()).product();
    let free = sizes.iter().filter(|&&size| size < 0).count();
    if free > 1 || (free == 1 && known == 0) {
        return Err(mismatch(format!("cannot tell the shape {sizes:?}")));
    }
    let size = |&size: &i64| usize::try_from(size).unwrap_or(array.len() / known.max(1));
    let dims: Vec<usize> = sizes.iter().map(size).collect();
    put(cx, (input, output), array.reshaped(&dims)?)
}

pub(super) fn convert_squeeze(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let x = moved(cx, input, output)?;
    let mut inputs = vec![x.name];
    let dims = op.options.i32s(0)?.unwrap_or_default();
    if !dims.is_empty() {
        let axes = dims.iter().map(|&dim| Ok(cx.axis(input, dim.into())? as i64));
        let axes = axes.collect::<Result<Vec<i64>, Stop>>()?;
        inputs.push(cx.emitter.integers("axes", &axes));
    }
    let y = cx.emitter.add(node("Squeeze", &inputs));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_squeeze(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, input, output)?;
    let axes: Vec<i64> =
        op.options.i32s(0)?.unwrap_or_default().iter().map(|&d| d.into()).collect();
    let array = squeeze(&array, Some(axes.as_slice()).filter(|axes| !axes.is_empty()))?;
    put(cx, (input, output), array)
}

pub(super) fn convert_expand(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axis = cx.required(op, 1, "an axis")?;
    let x = moved(cx, input, output)?;
    let axes = cx.emitter.integers("axes", axis.get(..1).unwrap_or(&[0]));
    let y = cx.emitter.add(node("Unsqueeze", &[x.name, axes]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_expand(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axis = cx.int(op.input(1)?)?;
    let array = taken(cx, input, output)?;
    put(cx, (input, output), expand_dims(&array, &[axis])?)
}
