//! Elements in another order or number along an axis: `TILE`, `REVERSE_V2`, `CUMSUM`, `TOPK_V2`,
//! `REVERSE_SEQUENCE`.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::elementwise::cast;
use crate::reference::index::{Running, cumsum, top_k};
use crate::reference::shape::{flip, tile};

pub(super) fn convert_tile(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let repeats = cx.int64(op.input(1)?)?;
    let x = moved(cx, input, output)?;
    let y = cx.emitter.add(node("Tile", &[x.name, repeats]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_tile(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let repeats = super::fill::shape(&cx.ints(op.input(1)?)?)?;
    let array = taken(cx, input, output)?;
    let times = repeats.iter().fold(1usize, |times, &repeat| times.saturating_mul(repeat));
    cx.room(&[array.len(), times])?;
    put(cx, (input, output), tile(&array, &repeats)?)
}

pub(super) fn convert_reverse(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axes = cx.required(op, 1, "an axis")?;
    let x = moved(cx, input, output)?;
    let starts = cx.emitter.integers("starts", &vec![-1; axes.len()]);
    let ends = cx.emitter.integers("ends", &vec![i64::MIN; axes.len()]);
    let steps = cx.emitter.integers("steps", &vec![-1; axes.len()]);
    let axes = cx.emitter.integers("axes", &axes);
    let y = cx.emitter.add(node("Slice", &[x.name, starts, ends, axes, steps]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_reverse(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axes = cx.ints(op.input(1)?)?;
    let array = taken(cx, input, output)?;
    put(cx, (input, output), flip(&array, &axes)?)
}

pub(super) fn convert_cumsum(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let axis = cx.int64(op.input(1)?)?;
    let exclusive = i64::from(op.options.bool(0)?);
    let reverse = i64::from(op.options.bool(1)?);
    let sum = node("CumSum", &[x, axis]).with("exclusive", exclusive).with("reverse", reverse);
    let y = cx.emitter.add(sum);
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate_cumsum(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let axis = cx.int(op.input(1)?)?;
    let how = Running { exclusive: op.options.bool(0)?, reverse: op.options.bool(1)? };
    cx.give_real(op.output(0)?, cumsum(&x, axis, how)?)
}

pub(super) fn convert_top(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, values, indices) = (op.input(0)?, op.output(0)?, op.output(1)?);
    let x = cx.real(input)?;
    let k = cx.int64(op.input(1)?)?;
    let axes = cx.emitter.integers("axes", &[-1]);
    let k = cx.emitter.add(node("Reshape", &[k, axes]));
    let top = node("TopK", &[x, k]).with("axis", -1i64);
    let found = cx.emitter.add_many(top, 2);
    let [top, places] = found.as_slice() else { return Err(mismatch("TopK gives two values")) };
    cx.give(values, top.clone())?;
    let element_type = cx.element_type(indices)?;
    let places = cx.cast(places, element_type);
    cx.give_raw(indices, places);
    Ok(())
}

pub(super) fn evaluate_top(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let k = super::fill::size(cx.int(op.input(1)?)?)?;
    let (values, places) = top_k(&x, k, -1, true)?;
    let indices = op.output(1)?;
    let element_type = cx.tensor(indices).element_type.unwrap_or(ElementType::Int32);
    cx.give_real(op.output(0)?, values)?;
    cx.give(indices, cast(&places, element_type)?)
}

/// `REVERSE_SEQUENCE`: the first elements of each row turned around, as many as are stated.
pub(super) fn convert_sequence(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let (time, batch) = (i64::from(op.options.i32(0)?), i64::from(op.options.i32(1)?));
    let x = moved(cx, input, output)?;
    let lengths = cx.int64_array(op.input(1)?)?;
    // ONNX takes the first two axes only.
    let rank = cx.rank(input);
    let (time, batch) = (cx.axis(input, time)?, cx.axis(input, batch)?);
    let mut order: Vec<usize> = vec![time, batch];
    order.extend((0..rank).filter(|axis| *axis != time && *axis != batch));
    let back: Vec<usize> =
        (0..rank).map(|axis| order.iter().position(|&at| at == axis).unwrap_or(axis)).collect();
    let y = cx.transpose(&x.name, &order);
    let reverse =
        node("ReverseSequence", &[y, lengths]).with("time_axis", 0i64).with("batch_axis", 1i64);
    let y = cx.emitter.add(reverse);
    let y = cx.transpose(&y, &back);
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_sequence(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, input, output)?;
    let lengths = cx.ints(op.input(1)?)?;
    let (time, batch) = (op.options.i32(0)?, op.options.i32(1)?);
    let time = crate::reference::layout::axis(time.into(), array.rank())?;
    let batch = crate::reference::layout::axis(batch.into(), array.rank())?;
    let mut rows = Vec::new();
    for (row, &length) in lengths.iter().enumerate() {
        let part = crate::reference::shape::narrow(&array, batch as i64, row, 1)?;
        let length = super::fill::size(length)?.min(array.dims()[time]);
        let along = time as i64;
        let head = crate::reference::shape::narrow(&part, along, 0, length)?;
        let rest = array.dims()[time] - length;
        let tail = crate::reference::shape::narrow(&part, along, length, rest)?;
        rows.push(crate::reference::shape::concat(&[&flip(&head, &[along])?, &tail], along)?);
    }
    let result = crate::reference::shape::concat(&rows.iter().collect::<Vec<_>>(), batch as i64)?;
    put(cx, (input, output), result)
}
