//! Parts of a tensor.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, TO_THE_END};
use crate::pytorch::evaluate::{Eval, Outcome, Strided, Value};
use crate::pytorch::graph::Size;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.slice.Tensor", "self dim start end step", convert_slice, evaluate_slice),
    operator("aten.select.int", "self dim index", convert_select, evaluate_select),
    operator("aten.narrow.default", "self dim start length", convert_narrow, evaluate_narrow),
];

/// The view of elements `start..` in steps along an axis.
pub(super) fn strided(
    own: &Strided,
    axis: usize,
    start: usize,
    step: usize,
    count: usize,
) -> Strided {
    let (mut dims, mut strides) = (own.dims().to_vec(), own.strides().to_vec());
    let offset = own.offset().saturating_add_signed(strides[axis].saturating_mul(start as isize));
    dims[axis] = count;
    strides[axis] = strides[axis].saturating_mul(step as isize);
    own.seen(dims, strides, if count == 0 { own.offset() } else { offset })
}

/// Start and end of a slice of an axis of this size, as Python counts.
pub(super) fn bounds(start: i64, end: i64, size: usize) -> (usize, usize) {
    let size = size as i64;
    let within = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(0, size);
    let start = within(start);
    (start as usize, within(end).max(start) as usize)
}

fn convert_slice(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let start = if call.has("start") { call.extent("start")? } else { Extent::Known(0) };
    let end = if call.has("end") { call.extent("end")? } else { Extent::Known(TO_THE_END) };
    let step = call.int_or("step", 1)?;
    let size = own.sizes.get(axis).and_then(Size::known);
    let goes_to_the_end =
        end.known().is_some_and(|end| end == TO_THE_END || size.is_some_and(|size| end >= size));
    if start == Extent::Known(0) && goes_to_the_end && step == 1 {
        call.give(0, own.name);
        return Ok(());
    }
    let result = call.to.slice(&own.name, axis, &start, &end, step);
    call.give(0, result);
    Ok(())
}

fn evaluate_slice(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    let (start, end) = bounds(eval.int_or("start", 0)?, eval.int_or("end", i64::MAX)?, size);
    let step = usize::try_from(eval.int_or("step", 1)?).unwrap_or(0);
    if step == 0 {
        return Err(EvaluateError::new("a slice needs a positive step"));
    }
    Ok(vec![Value::Tensor(strided(&own, axis, start, step, (end - start).div_ceil(step)))])
}

pub(super) fn no_axis() -> EvaluateError {
    EvaluateError::new("a tensor without dimensions has no parts")
}

fn convert_select(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let index = call.extent("index")?;
    let index = call.to.extent_scalar(&index);
    let gather = node("Gather", &[&own.name, &index]).with("axis", axis as i64);
    let result = call.to.emit_node(gather);
    call.give(0, result);
    Ok(())
}

pub(super) fn selected(own: &Strided, axis: usize, index: i64) -> Result<Strided, EvaluateError> {
    let size = *own.dims().get(axis).ok_or_else(no_axis)? as i64;
    let at = if index < 0 { index + size } else { index };
    if !(0..size).contains(&at) {
        return Err(EvaluateError::new(format!("there is no element {index} of {size}")));
    }
    let one = strided(own, axis, at as usize, 1, 1);
    let (mut dims, mut strides) = (one.dims().to_vec(), one.strides().to_vec());
    dims.remove(axis);
    strides.remove(axis);
    Ok(one.seen(dims, strides, one.offset()))
}

fn evaluate_select(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    Ok(vec![Value::Tensor(selected(&own, axis, eval.int("index")?)?)])
}

fn convert_narrow(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let (start, length) = (call.extent("start")?, call.extent("length")?);
    let end = match start.known() {
        // A negative start with its length may end at the end, which 0 does not say.
        Some(known) if known < 0 => {
            let size = call.to.size(&own, axis);
            let start = call.to.combine("Add", &size, &start, i64::checked_add);
            call.to.combine("Add", &start, &length, i64::checked_add)
        }
        _ => call.to.combine("Add", &start, &length, i64::checked_add),
    };
    let result = call.to.slice(&own.name, axis, &start, &end, 1);
    call.give(0, result);
    Ok(())
}

fn evaluate_narrow(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    let (start, _) = bounds(eval.int("start")?, i64::MAX, size);
    let length = usize::try_from(eval.int("length")?).unwrap_or(usize::MAX);
    if length > size - start {
        return Err(EvaluateError::new(format!("{length} elements from {start} of {size}")));
    }
    Ok(vec![Value::Tensor(strided(&own, axis, start, 1, length))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_as_in_python() {
        assert_eq!(bounds(-2, i64::MAX, 5), (3, 5));
        assert_eq!(bounds(4, 2, 5), (4, 4));
        assert_eq!(bounds(i64::MIN, -1, 5), (0, 4));
    }
}
