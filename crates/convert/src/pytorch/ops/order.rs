//! Elements in order, and running sums.

use modelyard_graph::ElementType;

use super::operands::calculated;
use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::types::{Kind, kind};
use crate::reference::index::{self, Running};
use crate::reference::{Array, elementwise};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.topk.default", "self k dim largest sorted", convert_topk, evaluate_topk),
    operator("aten.sort.default", "self dim descending", convert_sort, evaluate_sort),
    operator("aten.sort.stable", "self stable dim descending", convert_sort, evaluate_sort),
    operator("aten.argsort.default", "self dim descending", convert_sort, evaluate_sort),
    operator("aten.argsort.stable", "self stable dim descending", convert_sort, evaluate_sort),
    operator("aten.cumsum.default", "self dim dtype", convert_cumsum, evaluate_cumsum),
    operator("aten.cumprod.default", "self dim dtype", convert_cumprod, evaluate_cumprod),
];

fn convert_topk(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let k = call.extent("k")?;
    let axis = call.axis("dim", own.rank(), -1)?;
    let largest = call.bool_or("largest", true)?;
    let k = call.to.extent_vector(&k);
    give_sorted(call, &own, &k, axis, largest, (Some(0), Some(1)))
}

/// The first `k` elements in order and their places, to these results.
fn give_sorted(
    call: &mut Call<'_, '_>,
    own: &crate::pytorch::convert::Tensor,
    k: &str,
    axis: usize,
    largest: bool,
    (values, places): (Option<usize>, Option<usize>),
) -> Result<(), Refusal> {
    if own.rank() == 0 {
        let zero = call.to.emitter.integer("place", 0);
        values.into_iter().for_each(|index| call.give(index, own.name.clone()));
        places.into_iter().for_each(|index| call.give(index, zero.clone()));
        return Ok(());
    }
    let element_type = match calculated(own.element_type) {
        ElementType::Bool => ElementType::Int32,
        other => other,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let top = node("TopK", &[&value, k])
        .with("axis", axis as i64)
        .with("largest", i64::from(largest))
        .with("sorted", 1i64);
    let results = call.to.emitter.add_many(top, 2);
    if let Some(index) = values {
        call.give_as(index, &results[0], element_type)?;
    }
    if let Some(index) = places {
        call.give(index, results[1].clone());
    }
    Ok(())
}

fn evaluate_topk(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let k = usize::try_from(eval.int("k")?).unwrap_or(0);
    if own.rank() == 0 {
        return Ok(vec![own.as_ref().clone().into(), Array::ints(&[], vec![0])?.into()]);
    }
    let axis = eval.axis("dim", own.rank(), -1)? as i64;
    let (values, places) = index::top_k(&own, k, axis, eval.bool_or("largest", true)?)?;
    Ok(vec![values.into(), places.into()])
}

fn convert_sort(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), -1)?;
    let descending = call.bool_or("descending", false)?;
    let size = call.to.size(&own, axis);
    let size = call.to.extent_vector(&size);
    let results = match call.operator() {
        "sort" => (Some(0), Some(1)),
        _ => (None, Some(0)),
    };
    give_sorted(call, &own, &size, axis, descending, results)
}

fn evaluate_sort(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let (values, places) = if own.rank() == 0 {
        (own.as_ref().clone(), Array::ints(&[], vec![0])?)
    } else {
        let axis = eval.axis("dim", own.rank(), -1)? as i64;
        index::sort(&own, axis, eval.bool_or("descending", false)?)?
    };
    Ok(match eval.operator() {
        "sort" => vec![values.into(), places.into()],
        _ => vec![places.into()],
    })
}

fn convert_cumsum(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (wanted, _) = call.output(0)?;
    let element_type = calculated(wanted);
    let value = call.to.cast(&own.name, own.element_type, element_type);
    if own.rank() == 0 {
        return call.give_as(0, &value, element_type);
    }
    let axis = call.axis("dim", own.rank(), 0)?;
    let axis = call.to.emitter.integer("axis", axis as i64);
    let result = call.to.emit("CumSum", &[&value, &axis]);
    call.give_as(0, &result, element_type)
}

fn running_type(own: ElementType, asked: Option<ElementType>) -> ElementType {
    asked.unwrap_or(if kind(own) == Kind::Float { own } else { ElementType::Int64 })
}

const FROM_THE_FRONT: Running = Running { exclusive: false, reverse: false };

fn evaluate_cumsum(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let element_type = running_type(own.element_type(), eval.element_type("dtype")?);
    let value = elementwise::cast(&own, element_type)?;
    if own.rank() == 0 {
        return one(Ok(value));
    }
    one(index::cumsum(&value, eval.axis("dim", own.rank(), 0)? as i64, FROM_THE_FRONT))
}

/// ONNX has no running product: as many products as the axis is long.
fn convert_cumprod(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    const MOST: i64 = 256;
    let own = call.tensor("self")?;
    let (wanted, _) = call.output(0)?;
    let element_type = calculated(wanted);
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let axis = call.axis("dim", own.rank(), 0)?;
    let size = own.sizes.get(axis).and_then(crate::pytorch::graph::Size::known);
    let Some(size) = size.filter(|&size| (1..=MOST).contains(&size)) else {
        let way_out = "take the exponential of the running sum of logarithms instead";
        return Err(Refusal::new("a running product of unknown or great length", way_out));
    };
    use crate::pytorch::convert::Extent;
    let mut parts: Vec<String> = Vec::new();
    for at in 0..size {
        let (start, end) = (Extent::Known(at), Extent::Known(at + 1));
        let next = call.to.slice(&value, axis, &start, &end, 1);
        parts.push(match parts.last() {
            Some(last) => call.to.emit("Mul", &[last, &next]),
            None => next,
        });
    }
    let result = call.to.concat(&parts, axis as i64);
    call.give_as(0, &result, element_type)
}

fn evaluate_cumprod(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let element_type = running_type(own.element_type(), eval.element_type("dtype")?);
    let value = elementwise::cast(&own, element_type)?;
    one(index::cumprod(&value, eval.axis("dim", own.rank(), 0)? as i64, FROM_THE_FRONT))
}
