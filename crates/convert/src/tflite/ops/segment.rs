//! `SEGMENT_SUM` and its unsorted kin: rows are combined by the number of their segment.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, refused};
use crate::emitter::node;
use crate::reference::Array;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let x = cx.real(op.input(0)?)?;
    let ids = cx.int64_array(op.input(1)?)?;
    let last = cx.emitter.integers("axes", &[-1]);
    let indices = cx.emitter.add(node("Unsqueeze", &[ids, last]));
    let dims = cx.fixed_dims(output).filter(|dims| !dims.is_empty());
    let dims = dims.ok_or_else(|| {
        refused("an unknown number of segments", "export the model with fixed shapes")
    })?;
    let element_type = cx.element_type(output)?;
    let (start, how) = segment_start(&op.kind);
    let count: usize = dims.iter().product();
    let array = Array::from_f64s(element_type, &dims, vec![start; count])?;
    let bytes = array.to_tensor()?.into_data();
    let start = modelyard_graph::Constant::raw("start", element_type, &dims, bytes);
    let start = cx.emitter.constant(start);
    let y = cx.emitter.add(node("ScatterND", &[start, indices, x]).with("reduction", how));
    cx.give(output, y)
}

/// What segments without rows hold, and how rows are combined.
fn segment_start(kind: &str) -> (f64, &'static str) {
    match kind {
        "UNSORTED_SEGMENT_PROD" => (1.0, "mul"),
        "UNSORTED_SEGMENT_MAX" => (f64::from(f32::MIN), "max"),
        "UNSORTED_SEGMENT_MIN" => (f64::from(f32::MAX), "min"),
        _ => (0.0, "add"),
    }
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let ids = cx.ints(op.input(1)?)?;
    let count = match op.optional(2) {
        Some(count) => super::fill::size(cx.int(count)?)?,
        None => super::fill::size(ids.last().copied().unwrap_or(-1).saturating_add(1))?,
    };
    let width = x.len() / ids.len().max(1);
    let (start, how) = segment_start(&op.kind);
    cx.room(&[count, width])?;
    let mut values = vec![start; count.saturating_mul(width)];
    let rows = x.to_f64s()?;
    for (row, id) in rows.chunks_exact(width.max(1)).zip(ids) {
        let Some(id) = usize::try_from(id).ok().filter(|&id| id < count) else { continue };
        for (target, &value) in values[id * width..(id + 1) * width].iter_mut().zip(row) {
            *target = match how {
                "mul" => *target * value,
                "max" => target.max(value),
                "min" => target.min(value),
                _ => *target + value,
            };
        }
    }
    let ids_rank = cx.raw(op.input(1)?)?.rank();
    let dims = [&[count], x.dims().get(ids_rank..).unwrap_or_default()].concat();
    cx.give_real(op.output(0)?, Array::from_f64s(x.element_type(), &dims, values)?)
}
