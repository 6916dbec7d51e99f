//! Elements by their indices: `GATHER`, `GATHER_ND`, `EMBEDDING_LOOKUP`, `SCATTER_ND`, `ONE_HOT`,
//! `DYNAMIC_UPDATE_SLICE`.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::index::{Combine, gather, gather_nd, one_hot, scatter_nd};
use crate::reference::shape::{concat, stack, unstack};

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    if op.options.i32(1)? != 0 {
        return gather_rows(cx, op);
    }
    let axis = cx.axis(input, op.options.i32(0)?.into())? as i64;
    let x = moved(cx, input, output)?;
    let indices = cx.raw(op.input(1)?)?;
    let y = cx.emitter.add(node("Gather", &[x.name, indices]).with("axis", axis));
    give_moved(cx, output, y, x.is_raw)
}

/// Indices of each row into its own row: `GatherND`, where the axis is the first after those in
/// common.
fn gather_rows(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axis = cx.axis(input, op.options.i32(0)?.into())?;
    let common = cx.axis(op.input(1)?, op.options.i32(1)?.into())?;
    if axis != common {
        let reason = format!("axis {axis} with {common} axes in common");
        return Err(refused(reason, "gather along the first axis after those in common"));
    }
    let x = moved(cx, input, output)?;
    let indices = cx.int64_array(op.input(1)?)?;
    let last = cx.emitter.integers("axes", &[-1]);
    let indices = cx.emitter.add(node("Unsqueeze", &[indices, last]));
    let gather = node("GatherND", &[x.name, indices]).with("batch_dims", common as i64);
    let y = cx.emitter.add(gather);
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, input, output)?;
    let indices = cx.raw(op.input(1)?)?;
    let (axis, common) = (i64::from(op.options.i32(0)?), op.options.i32(1)?);
    let result = rows(&array, &indices, axis, common)?;
    put(cx, (input, output), result)
}

/// The first `common` axes of both go along.
fn rows(array: &Array, indices: &Array, axis: i64, common: i32) -> Result<Array, Stop> {
    if common <= 0 {
        return Ok(gather(array, indices, axis)?);
    }
    let axis = if axis < 0 { axis + array.rank() as i64 } else { axis };
    let pairs = unstack(array, 0)?.into_iter().zip(unstack(indices, 0)?);
    let parts = pairs.map(|(array, indices)| rows(&array, &indices, axis - 1, common - 1));
    let parts: Vec<Array> = parts.collect::<Result<_, Stop>>()?;
    Ok(stack(&parts.iter().collect::<Vec<_>>(), 0)?)
}

/// `EMBEDDING_LOOKUP`: rows of the second input, a table, by the first.
pub(super) fn convert_lookup(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (table, output) = (op.input(1)?, op.output(0)?);
    let x = moved(cx, table, output)?;
    let indices = cx.raw(op.input(0)?)?;
    let y = cx.emitter.add(node("Gather", &[x.name, indices]).with("axis", 0i64));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_lookup(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (table, output) = (op.input(1)?, op.output(0)?);
    let array = taken(cx, table, output)?;
    let indices = cx.raw(op.input(0)?)?;
    put(cx, (table, output), gather(&array, &indices, 0)?)
}

pub(super) fn convert_nd(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let x = moved(cx, input, output)?;
    let indices = cx.int64_array(op.input(1)?)?;
    let y = cx.emitter.add(node("GatherND", &[x.name, indices]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_nd(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, input, output)?;
    let indices = cx.raw(op.input(1)?)?;
    put(cx, (input, output), gather_nd(&array, &indices, 0)?)
}

/// `SCATTER_ND`: updates added up in zeros of a shape.
pub(super) fn convert_scatter(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (updates, output) = (op.input(1)?, op.output(0)?);
    let indices = cx.int64_array(op.input(0)?)?;
    let x = moved(cx, updates, output)?;
    let shape = cx.int64(op.input(2)?)?;
    let element_type = if x.is_raw { cx.element_type(updates)? } else { ElementType::Float32 };
    let zero = super::fill::zero(element_type);
    let zeros = cx.emitter.add(node("ConstantOfShape", &[shape]).with("value", zero));
    let scatter = node("ScatterND", &[zeros, indices, x.name]).with("reduction", "add");
    let y = cx.emitter.add(scatter);
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_scatter(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (updates, output) = (op.input(1)?, op.output(0)?);
    let array = taken(cx, updates, output)?;
    let dims = super::fill::shape(&cx.ints(op.input(2)?)?)?;
    let count = cx.room(&dims)?;
    let zeros = Array::from_f64s(array.element_type(), &dims, vec![0.0; count])?;
    let indices = cx.raw(op.input(0)?)?;
    let result = scatter_nd(&zeros, &indices, &array, Combine::Add)?;
    put(cx, (updates, output), result)
}

pub(super) fn convert_one_hot(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let indices = cx.int64_array(op.input(0)?)?;
    let depth = cx.int64(op.input(1)?)?;
    let axis = i64::from(op.options.i32(0)?);
    let axes = cx.emitter.integers("axes", &[0]);
    let (on, off) = (cx.real(op.input(2)?)?, cx.real(op.input(3)?)?);
    let mut one = |value: String| cx.emitter.add(node("Unsqueeze", &[value, axes.clone()]));
    let (on, off) = (one(on), one(off));
    // Negative indices are no positions, which ONNX would count from the end: they are moved out.
    let values = cx.emitter.add(node("Concat", &[off, on]).with("axis", 0i64));
    let zero = cx.emitter.integer("zero", 0);
    let outside = cx.emitter.add(node("Less", &[&indices, &zero]));
    let indices = cx.emitter.add(node("Where", &[&outside, &depth, &indices]));
    let hot = node("OneHot", &[indices, depth, values]).with("axis", axis);
    let y = cx.emitter.add(hot);
    cx.give(output, y)
}

pub(super) fn evaluate_one_hot(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let indices = cx.raw(op.input(0)?)?;
    let depth = super::fill::size(cx.int(op.input(1)?)?)?;
    let (on, off) = (cx.real(op.input(2)?)?, cx.real(op.input(3)?)?);
    let number = |array: &Array| -> Result<f64, Stop> {
        array.to_f64s()?.first().copied().ok_or_else(|| mismatch("a value is missing"))
    };
    let values = (number(&off)?, number(&on)?);
    let axis = op.options.i32(0)?.into();
    cx.room(&[indices.len(), depth])?;
    let result = one_hot(&indices, depth, axis, values, on.element_type())?;
    cx.give_real(op.output(0)?, result)
}

/// `DYNAMIC_UPDATE_SLICE`: an update put into a tensor, as far to the end as it fits.
pub(super) fn convert_update(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (operand, update, output) = (op.input(0)?, op.input(1)?, op.output(0)?);
    let (Some(dims), Some(sizes)) = (cx.fixed_dims(operand), cx.fixed_dims(update)) else {
        return Err(refused("an update of unknown size", "export the model with fixed shapes"));
    };
    let x = moved(cx, operand, output)?;
    let piece = if x.is_raw { cx.raw(update)? } else { cx.real(update)? };
    let start = cx.int64(op.input(2)?)?;
    let last: Vec<i64> =
        dims.iter().zip(&sizes).map(|(&dim, &size)| dim as i64 - size as i64).collect();
    let (zeros, last) =
        (cx.emitter.integers("zeros", &vec![0; dims.len()]), cx.emitter.integers("last", &last));
    let start = cx.emitter.add(node("Max", &[start, zeros]));
    let start = cx.emitter.add(node("Min", &[start, last]));
    // Indices of all elements of the update, moved by the start.
    let count: usize = sizes.iter().product();
    let mut places = Vec::with_capacity(count * dims.len());
    for flat in 0..count {
        let mut rest = flat;
        let mut place = vec![0i64; dims.len()];
        for axis in (0..dims.len()).rev() {
            place[axis] = (rest % sizes[axis]) as i64;
            rest /= sizes[axis];
        }
        places.extend(place);
    }
    let bytes: Vec<u8> = places.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut shape = sizes.clone();
    shape.push(dims.len());
    let places = cx.emitter.constant(modelyard_graph::Constant::raw(
        "places",
        ElementType::Int64,
        &shape,
        bytes,
    ));
    let indices = cx.emitter.add(node("Add", &[places, start]));
    let y = cx.emitter.add(node("ScatterND", &[x.name, indices, piece]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_update(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (operand, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, operand, output)?;
    let update = taken(cx, op.input(1)?, output)?;
    let start = cx.ints(op.input(2)?)?;
    let mut result = update;
    // Axis by axis: what lies before, the update, and what lies behind.
    for axis in (0..array.rank()).rev() {
        let size = result.dims()[axis];
        let last = array.dims()[axis].saturating_sub(size) as i64;
        let from = usize::try_from(start.get(axis).copied().unwrap_or(0).clamp(0, last));
        let from = from.unwrap_or(0);
        // The part of the operand that lies beside, at the place of the axes before this one.
        let mut beside = array.clone();
        for outer in 0..axis {
            let outer_size = result.dims()[outer];
            let last = array.dims()[outer].saturating_sub(outer_size) as i64;
            let at = start.get(outer).copied().unwrap_or(0).clamp(0, last);
            let at = usize::try_from(at).unwrap_or(0);
            beside = crate::reference::shape::narrow(&beside, outer as i64, at, outer_size)?;
        }
        let along = axis as i64;
        let rest = array.dims()[axis] - from - size;
        let before = crate::reference::shape::narrow(&beside, along, 0, from)?;
        let after = crate::reference::shape::narrow(&beside, along, from + size, rest)?;
        result = concat(&[&before, &result, &after], along)?;
    }
    put(cx, (operand, output), result)
}
