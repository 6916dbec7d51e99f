//! `Roll`: elements move along axes, and come in again at the other end.

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::layout;
use crate::reference::shape::{self, Range};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let shifts = context.integers(call.input(1)?, "a shift")?;
    let axes = context.integers(call.input(2)?, "an axis")?;
    let mut x = context.name(value)?;
    for (&shift, &axis) in shifts.iter().zip(&axes) {
        let axis = dims::axis(axis, value.rank()?)?;
        let Some(size) = value.size(axis).filter(|&size| size > 0) else {
            let way_out = "give the axis a fixed size";
            return Err(Refusal::new("rolling an axis of unknown size", way_out));
        };
        let shift = shift.rem_euclid(size as i64);
        if shift == 0 {
            continue;
        }
        let part = |context: &mut Context<'_>, start: i64, end: i64| {
            let lists = [("starts", start), ("ends", end), ("axes", axis as i64)];
            let [starts, ends, axes] =
                lists.map(|(name, value)| context.emitter.integers(name, &[value]));
            context.add("Slice", &[&x, &starts, &ends, &axes])
        };
        let parts = [part(context, -shift, i64::MAX), part(context, 0, -shift)];
        x = context.add_node(node("Concat", &parts).with("axis", axis as i64));
    }
    Ok(vec![context.value(x, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let mut x = given.input(0)?.clone();
    let (shifts, axes) = (given.integers(1)?, given.integers(2)?);
    for (&shift, &axis) in shifts.iter().zip(&axes) {
        let axis = layout::axis(axis, x.rank())?;
        let size = x.dims()[axis] as i64;
        if size == 0 {
            return Err(EvaluateError::new("there is nothing to roll"));
        }
        let cut = size - shift.rem_euclid(size);
        let part =
            |start, stop| shape::slice(&x, &[Range { axis: axis as i64, start, stop, step: 1 }]);
        x = shape::concat(&[&part(cut, size)?, &part(0, cut)?], axis as i64)?;
    }
    Ok(vec![x])
}
