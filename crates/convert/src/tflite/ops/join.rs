//! Operators that join tensors and take them apart: `CONCATENATION`, `PACK`, `UNPACK`, `SPLIT`,
//! `SPLIT_V`.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::shape::{concat, split, stack, unstack};
use crate::reference::{Array, elementwise};

/// Whether what is stored of all inputs can be joined: integers that stand for real numbers are
/// joined as those, since not every engine joins integers of 8 bits.
fn all_alike(cx: &Converter<'_>, op: &Operator, output: usize) -> bool {
    let mut tensors = op.inputs.iter().flatten().copied().chain([output]);
    tensors.all(|tensor| cx.tensor(tensor).quantized().is_none())
}

/// The inputs of an operator, as they are stored or as real numbers.
fn all(cx: &mut Converter<'_>, op: &Operator, is_raw: bool) -> Result<Vec<String>, Stop> {
    let inputs = op.inputs.iter().flatten();
    inputs.map(|&input| if is_raw { cx.raw(input) } else { cx.real(input) }).collect()
}

pub(super) fn convert_concat(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let axis = cx.axis(output, op.options.i32(0)?.into())? as i64;
    let activation = cx.activation(op, 1)?;
    let is_raw = all_alike(cx, op, output) && activation == Activation::None;
    let inputs = all(cx, op, is_raw)?;
    let y = cx.emitter.add(node("Concat", &inputs).with("axis", axis));
    let y = cx.activated(&y, activation);
    give_moved(cx, output, y, is_raw)
}

/// The inputs of an operator as real numbers, or as they are stored where that is all alike.
fn arrays(cx: &mut Evaluation<'_>, op: &Operator, is_raw: bool) -> Result<Vec<Array>, Stop> {
    let mut arrays = Vec::new();
    for &input in op.inputs.iter().flatten() {
        let array = if is_raw { cx.raw(input)? } else { cx.real(input)? };
        arrays.push(Array::clone(&array));
    }
    Ok(arrays)
}

fn is_alike(cx: &Evaluation<'_>, op: &Operator, output: usize) -> bool {
    let wanted = cx.quantized(output);
    op.inputs.iter().flatten().all(|&input| cx.quantized(input) == wanted)
}

pub(super) fn evaluate_concat(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let activation = op.activation(1)?;
    let is_raw = is_alike(cx, op, output) && activation == Activation::None;
    let arrays = arrays(cx, op, is_raw)?;
    let joined = concat(&arrays.iter().collect::<Vec<_>>(), op.options.i32(0)?.into())?;
    if is_raw {
        return cx.give(output, joined);
    }
    let joined = match activation {
        Activation::None => joined,
        _ => elementwise::map(&joined, |value| f64::from(activation.apply(value as f32)))?,
    };
    cx.give_real(output, joined)
}

pub(super) fn convert_pack(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let axis = cx.axis(output, op.options.i32(1)?.into())? as i64;
    let is_raw = all_alike(cx, op, output);
    let inputs = all(cx, op, is_raw)?;
    let axes = cx.emitter.integers("axes", &[axis]);
    let rows: Vec<String> =
        (inputs.iter()).map(|input| cx.emitter.add(node("Unsqueeze", &[input, &axes]))).collect();
    let y = cx.emitter.add(node("Concat", &rows).with("axis", axis));
    give_moved(cx, output, y, is_raw)
}

pub(super) fn evaluate_pack(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let is_raw = is_alike(cx, op, output);
    let arrays = arrays(cx, op, is_raw)?;
    let joined = stack(&arrays.iter().collect::<Vec<_>>(), op.options.i32(1)?.into())?;
    if is_raw { cx.give(output, joined) } else { cx.give_real(output, joined) }
}

pub(super) fn convert_unpack(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let input = op.input(0)?;
    let axis = cx.axis(input, op.options.i32(1)?.into())? as i64;
    let parts = parts(cx, op, input, &vec![1; op.outputs.len()], axis)?;
    let axes = cx.emitter.integers("axes", &[axis]);
    for (&output, (part, is_raw)) in op.outputs.iter().zip(parts) {
        let y = cx.emitter.add(node("Squeeze", &[part, axes.clone()]));
        give_moved(cx, output, y, is_raw)?;
    }
    Ok(())
}

pub(super) fn evaluate_unpack(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let input = op.input(0)?;
    let array = taken(cx, input, op.output(0)?)?;
    let parts = unstack(&array, op.options.i32(1)?.into())?;
    give_parts(cx, op, input, parts)
}

fn give_parts(
    cx: &mut Evaluation<'_>,
    op: &Operator,
    input: usize,
    parts: Vec<Array>,
) -> Result<(), Stop> {
    if parts.len() != op.outputs.len() {
        let (expected, found) = (op.outputs.len(), parts.len());
        return Err(mismatch(format!("expected {expected} parts, found {found}")));
    }
    for (&output, part) in op.outputs.iter().zip(parts) {
        put(cx, (input, output), part)?;
    }
    Ok(())
}

/// Parts of an input along an axis, and whether they are as it is stored.
fn parts(
    cx: &mut Converter<'_>,
    op: &Operator,
    input: usize,
    sizes: &[i64],
    axis: i64,
) -> Result<Vec<(String, bool)>, Stop> {
    let x = moved(cx, input, op.output(0)?)?;
    if sizes.len() == 1 {
        return Ok(vec![(x.name, x.is_raw)]);
    }
    let lengths = cx.emitter.integers("split", sizes);
    let split = node("Split", &[x.name, lengths]).with("axis", axis);
    let names = cx.emitter.add_many(split, sizes.len());
    Ok(names.into_iter().map(|name| (name, x.is_raw)).collect())
}

/// `SPLIT` takes the axis first, `SPLIT_V` sizes and axis last.
fn split_inputs(op: &Operator) -> Result<(usize, usize, Option<usize>), Stop> {
    Ok(match op.kind.as_str() {
        "SPLIT" => (op.input(1)?, op.input(0)?, None),
        _ => (op.input(0)?, op.input(2)?, Some(op.input(1)?)),
    })
}

pub(super) fn convert_split(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, _, sizes) = split_inputs(op)?;
    let what = "an axis or size of a split";
    let place = if sizes.is_some() { 2 } else { 0 };
    let along = cx.required(op, place, what)?.first().copied().unwrap_or(0);
    let sizes = match sizes {
        Some(_) => Some(cx.required(op, 1, what)?),
        None => None,
    };
    let axis = cx.axis(input, along)?;
    let count = op.outputs.len();
    let size = cx.dims(input).get(axis).copied().flatten();
    let size = size.ok_or_else(|| mismatch("an axis of unknown size cannot be split"))?;
    let sizes = whole(sizes, count, size)?;
    let parts = parts(cx, op, input, &sizes, axis as i64)?;
    for (&output, (part, is_raw)) in op.outputs.iter().zip(parts) {
        give_moved(cx, output, part, is_raw)?;
    }
    Ok(())
}

/// Sizes of all parts: equal ones where none are stated; one may be -1, the rest.
fn whole(sizes: Option<Vec<i64>>, count: usize, size: usize) -> Result<Vec<i64>, Stop> {
    let mut sizes = match sizes {
        Some(sizes) => sizes,
        None => vec![(size / count.max(1)) as i64; count],
    };
    let known: i64 = sizes.iter().filter(|&&size| size >= 0).sum();
    let rest = size as i64 - known;
    for size in sizes.iter_mut().filter(|size| **size < 0) {
        *size = rest;
    }
    if sizes.len() != count || sizes.iter().sum::<i64>() != size as i64 || rest < 0 {
        return Err(mismatch(format!("parts of {sizes:?} are not {count} of an axis of {size}")));
    }
    Ok(sizes)
}

pub(super) fn evaluate_split(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, axis, sizes) = split_inputs(op)?;
    let axis = cx.int(axis)?;
    let sizes = match sizes {
        Some(sizes) => Some(cx.ints(sizes)?),
        None => None,
    };
    let array = taken(cx, input, op.output(0)?)?;
    let along = crate::reference::layout::axis(axis, array.rank())?;
    let sizes = whole(sizes, op.outputs.len(), array.dims()[along])?;
    let sizes: Vec<usize> = sizes.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    let parts = split(&array, axis, &sizes)?;
    give_parts(cx, op, input, parts)
}
