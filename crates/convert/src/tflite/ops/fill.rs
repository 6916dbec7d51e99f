//! Tensors made of shapes and numbers: `SHAPE`, `RANK`, `FILL`, `RANGE`, `BROADCAST_TO`,
//! `BROADCAST_ARGS`.

use modelyard_graph::{Constant, ElementType};

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::layout::broadcast;
use crate::reference::shape::broadcast_to;
use crate::reference::{Array, Data};

/// A constant of one number without dimensions.
pub(super) fn number(name: &str, element_type: ElementType, value: i64) -> Constant {
    let bytes: Vec<u8> = match element_type {
        ElementType::Float32 => (value as f32).to_le_bytes().to_vec(),
        ElementType::Float64 => (value as f64).to_le_bytes().to_vec(),
        _ => {
            let size = (element_type.bits() / 8).clamp(1, 8);
            value.to_le_bytes()[..size].to_vec()
        }
    };
    Constant::raw(name, element_type, &[], bytes)
}

/// A zero, as `ConstantOfShape` takes it.
pub(super) fn zero(element_type: ElementType) -> Constant {
    Constant { dims: vec![1], ..number("", element_type, 0) }
}

/// A size that came as a number.
pub(super) fn size(value: i64) -> Result<usize, Stop> {
    usize::try_from(value).map_err(|_| mismatch(format!("expected a size, found {value}")))
}

/// A shape that came as numbers.
pub(super) fn shape(values: &[i64]) -> Result<Vec<usize>, Stop> {
    values.iter().map(|&value| size(value)).collect()
}

pub(super) fn convert_shape(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let x = cx.raw(input)?;
    let y = cx.emitter.add(node("Shape", &[x]));
    let element_type = cx.element_type(output)?;
    let y = if element_type == ElementType::Int64 { y } else { cx.cast(&y, element_type) };
    cx.give_raw(output, y);
    Ok(())
}

pub(super) fn evaluate_shape(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let sizes: Vec<i64> = cx.raw(op.input(0)?)?.dims().iter().map(|&size| size as i64).collect();
    let element_type = cx.tensor(output).element_type.unwrap_or(ElementType::Int32);
    cx.give(output, Array::new(element_type, &[sizes.len()], Data::Ints(sizes))?)
}

pub(super) fn convert_rank(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (rank, output) = (cx.rank(op.input(0)?) as i64, op.output(0)?);
    let y = cx.emitter.constant(number("rank", ElementType::Int32, rank));
    cx.give_raw(output, y);
    Ok(())
}

pub(super) fn evaluate_rank(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let rank = cx.raw(op.input(0)?)?.rank() as i64;
    cx.give(op.output(0)?, Array::new(ElementType::Int32, &[], Data::Ints(vec![rank]))?)
}

pub(super) fn convert_fill(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (value, output) = (op.input(1)?, op.output(0)?);
    let shape = cx.int64(op.input(0)?)?;
    let x = moved(cx, value, output)?;
    let y = cx.emitter.add(node("Expand", &[x.name, shape]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_fill(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (value, output) = (op.input(1)?, op.output(0)?);
    let dims = shape(&cx.ints(op.input(0)?)?)?;
    cx.room(&dims)?;
    let array = taken(cx, value, output)?;
    put(cx, (value, output), broadcast_to(&array, &dims)?)
}

pub(super) fn convert_broadcast(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let shape = cx.int64(op.input(1)?)?;
    let x = moved(cx, input, output)?;
    let y = cx.emitter.add(node("Expand", &[x.name, shape]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_broadcast(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let dims = shape(&cx.ints(op.input(1)?)?)?;
    cx.room(&dims)?;
    let array = taken(cx, input, output)?;
    put(cx, (input, output), broadcast_to(&array, &dims)?)
}

/// The shape of two shapes that are broadcast: shapes of zeros say it.
pub(super) fn convert_args(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let shapes = [cx.int64(op.input(0)?)?, cx.int64(op.input(1)?)?];
    let zeros = shapes.map(|shape| {
        let value = zero(ElementType::Int32);
        cx.emitter.add(node("ConstantOfShape", &[shape]).with("value", value))
    });
    let sum = cx.emitter.add(node("Add", &zeros));
    let y = cx.emitter.add(node("Shape", &[sum]));
    let element_type = cx.element_type(output)?;
    let y = if element_type == ElementType::Int64 { y } else { cx.cast(&y, element_type) };
    cx.give_raw(output, y);
    Ok(())
}

pub(super) fn evaluate_args(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (a, b) = (shape(&cx.ints(op.input(0)?)?)?, shape(&cx.ints(op.input(1)?)?)?);
    let dims: Vec<i64> = broadcast(&a, &b)?.iter().map(|&size| size as i64).collect();
    let element_type = cx.raw(op.input(0)?)?.element_type();
    cx.give(op.output(0)?, Array::new(element_type, &[dims.len()], Data::Ints(dims))?)
}

pub(super) fn convert_range(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let inputs = [cx.real(op.input(0)?)?, cx.real(op.input(1)?)?, cx.real(op.input(2)?)?];
    let y = cx.emitter.add(node("Range", &inputs));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate_range(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let mut numbers = [0.0; 3];
    for (index, number) in numbers.iter_mut().enumerate() {
        let found = cx.real(op.input(index)?)?;
        *number =
            found.to_f64s()?.first().copied().ok_or_else(|| mismatch("a number is missing"))?;
    }
    let element_type = cx.raw(op.input(0)?)?.element_type();
    let [start, limit, step] = numbers;
    let count = ((limit - start) / step).ceil();
    if !count.is_finite() || step == 0.0 {
        return Err(mismatch(format!("cannot count from {start} to {limit} by {step}")));
    }
    let count = count.max(0.0) as usize;
    cx.room(&[count])?;
    let values = (0..count).map(|index| start + index as f64 * step).collect();
    cx.give_real(op.output(0)?, Array::from_f64s(element_type, &[count], values)?)
}
