//! Parts of a tensor put back.

use super::slice::{bounds, no_axis, selected, strided};
use super::{Operator, operator};
use crate::pytorch::convert::{Call, Extent, Refusal, TO_THE_END, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Strided, Value};
use crate::pytorch::graph::Size;
use crate::reference::elementwise;

pub(super) const OPERATORS: &[Operator] = &[
    operator(
        "aten.slice_scatter.default",
        "self src dim start end step",
        convert_put,
        evaluate_put,
    ),
    operator("aten.select_scatter.default", "self src dim index", convert_put, evaluate_put),
];

/// `self` with `src` in place of a slice or of one element along an axis.
fn convert_put(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, src) = (call.tensor("self")?, call.tensor("src")?);
    let kind = src.element_type;
    let axis = call.axis("dim", own.rank(), 0)?;
    let (start, end, step, src) = if call.operator() == "select_scatter" {
        let index = call.extent("index")?;
        let end = match index.known() {
            Some(-1) => Extent::Known(TO_THE_END),
            _ => call.to.combine("Add", &index, &Extent::Known(1), i64::checked_add),
        };
        (index, end, 1, call.to.unsqueeze(&src.name, &[axis as i64]))
    } else {
        let start = if call.has("start") { call.extent("start")? } else { Extent::Known(0) };
        let end = if call.has("end") { call.extent("end")? } else { Extent::Known(TO_THE_END) };
        (start, end, call.int_or("step", 1)?, src.name)
    };
    let value = call.to.cast(&src, kind, own.element_type);
    if start == Extent::Known(0) && end == Extent::Known(TO_THE_END) && step == 1 {
        call.give(0, value);
        return Ok(());
    }
    let result = match step {
        1 => joined(call, &own, axis, (&start, &end), &value),
        step => scattered(call, &own, axis, (&start, &end, step), &value),
    };
    call.give(0, result);
    Ok(())
}

/// What stands before the slice, the slice, what stands behind it.
fn joined(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    axis: usize,
    (start, end): (&Extent, &Extent),
    value: &str,
) -> String {
    let mut parts = Vec::new();
    if *start != Extent::Known(0) {
        parts.push(call.to.slice(&own.name, axis, &Extent::Known(0), start, 1));
    }
    parts.push(value.to_owned());
    let size = own.sizes.get(axis).and_then(Size::known);
    let is_last =
        end.known().is_some_and(|end| end == TO_THE_END || size.is_some_and(|size| end >= size));
    if !is_last {
        parts.push(call.to.slice(&own.name, axis, end, &Extent::Known(TO_THE_END), 1));
    }
    call.to.concat(&parts, axis as i64)
}

/// Every so many elements: the places along the axis, moved to the front.
fn scattered(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    axis: usize,
    (start, end, step): (&Extent, &Extent, i64),
    value: &str,
) -> String {
    let mut order: Vec<usize> = (0..own.rank()).filter(|&at| at != axis).collect();
    order.insert(0, axis);
    let mut back = vec![0; order.len()];
    for (at, &from) in order.iter().enumerate() {
        back[from] = at;
    }
    let size = call.to.size(own, axis);
    let (zero, size) = (call.to.extent_scalar(&Extent::Known(0)), call.to.extent_scalar(&size));
    let unit = call.to.emitter.integer("step", 1);
    let all = call.to.emit("Range", &[&zero, &size, &unit]);
    let places = call.to.slice(&all, 0, start, end, step);
    let places = call.to.unsqueeze(&places, &[1]);
    let (data, value) = (call.to.transpose(&own.name, &order), call.to.transpose(value, &order));
    let result = call.to.emit("ScatterND", &[&data, &places, &value]);
    call.to.transpose(&result, &back)
}

fn evaluate_put(eval: &mut Eval<'_, '_>) -> Outcome {
    let copy = Strided::new(eval.tensor("self")?.as_ref().clone());
    let axis = eval.axis("dim", copy.dims().len(), 0)?;
    let part = if eval.operator() == "select_scatter" {
        selected(&copy, axis, eval.int("index")?)?
    } else {
        let size = *copy.dims().get(axis).ok_or_else(no_axis)?;
        let (start, end) = bounds(eval.int_or("start", 0)?, eval.int_or("end", i64::MAX)?, size);
        let step = usize::try_from(eval.int_or("step", 1)?).unwrap_or(1).max(1);
        strided(&copy, axis, start, step, (end - start).div_ceil(step))
    };
    part.write(&elementwise::cast(&*eval.tensor("src")?, copy.element_type())?)?;
    Ok(vec![Value::Tensor(copy)])
}
