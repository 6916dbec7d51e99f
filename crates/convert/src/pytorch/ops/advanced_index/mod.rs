//! Elements by several tensors of indices or by masks: `x[i, :, j]`, `x[mask]`.

mod masks;
mod plan;
#[cfg(test)]
mod tests;

use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::graph::Size;
use crate::reference::index::{self, Combine};
use crate::reference::{Array, elementwise, shape};

use masks::{
    convert_masked_scatter, convert_nonzero, convert_select, evaluate_masked_scatter,
    evaluate_nonzero, evaluate_select, is_single, only_mask, put_where,
};
use plan::{Plan, evaluated_indices, evaluated_stacked, indices, inverse, stacked};

const PUT: &str = "self indices values accumulate";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.index.Tensor", "self indices", convert_index, evaluate_index),
    operator("aten._unsafe_index.Tensor", "self indices", convert_index, evaluate_index),
    operator("aten.index_put.default", PUT, convert_put, evaluate_put),
    operator("aten._unsafe_index_put.default", PUT, convert_put, evaluate_put),
    operator("aten._index_put_impl.default", PUT, convert_put, evaluate_put),
    operator("aten.masked_select.default", "self mask", convert_select, evaluate_select),
    operator(
        "aten.masked_scatter.default",
        "self mask source",
        convert_masked_scatter,
        evaluate_masked_scatter,
    ),
    operator("aten.nonzero.default", "self", convert_nonzero, evaluate_nonzero),
];

fn convert_index(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let given = indices(call, own.rank())?;
    let indexed: Vec<bool> = given.iter().map(Option::is_some).collect();
    let plan = Plan::new(&indexed, own.rank());
    let tensors: Vec<Tensor> = given.into_iter().flatten().collect();
    let result = match tensors.as_slice() {
        [] => own.name,
        [index] => {
            let gather = node("Gather", &[&own.name, &index.name]);
            call.to.emit_node(gather.with("axis", plan.axes[0] as i64))
        }
        _ => {
            let (places, sizes, _) = stacked(call, &tensors);
            let data = call.to.transpose(&own.name, &plan.order);
            let found = call.to.emit("GatherND", &[&data, &places]);
            call.to.transpose(&found, &plan.result_order(sizes.len()))
        }
    };
    call.give(0, result);
    Ok(())
}

fn evaluate_index(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let given = evaluated_indices(eval, own.rank())?;
    let indexed: Vec<bool> = given.iter().map(Option::is_some).collect();
    let plan = Plan::new(&indexed, own.rank());
    let indices: Vec<Array> = given.into_iter().flatten().collect();
    if indices.is_empty() {
        return Ok(vec![own.as_ref().clone().into()]);
    }
    let places = evaluated_stacked(&indices)?;
    let data = shape::transpose(&own, &plan.order)?;
    let found = index::gather_nd(&data, &places, 0)?;
    one(shape::transpose(&found, &plan.result_order(places.rank() - 1)))
}

fn convert_put(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, values) = (call.tensor("self")?, call.tensor("values")?);
    let accumulate = call.bool_or("accumulate", false)?;
    if let Some(mask) = only_mask(call)?
        && is_single(&values)
        && !accumulate
    {
        return put_where(call, &own, &mask, &values);
    }
    let given = indices(call, own.rank())?;
    let indexed: Vec<bool> = given.iter().map(Option::is_some).collect();
    let plan = Plan::new(&indexed, own.rank());
    let tensors: Vec<Tensor> = given.into_iter().flatten().collect();
    if tensors.is_empty() {
        return Err(Refusal::new("no indices", "assign the whole tensor instead"));
    }
    let (places, mut sizes, mut extents) = stacked(call, &tensors);
    let inner = sizes.len();
    for &axis in plan.order.iter().skip(plan.axes.len()) {
        sizes.push(own.sizes[axis].clone());
        extents.push(call.to.size(&own, axis));
    }
    // What is put has the shape that reading would give.
    let result_order = plan.result_order(inner);
    let permuted = |list: &[Size]| result_order.iter().map(|&at| list[at].clone()).collect();
    let wanted: Vec<Size> = permuted(&sizes);
    let wanted_extents: Vec<Extent> = result_order.iter().map(|&at| extents[at].clone()).collect();
    let value = call.to.cast(&values.name, values.element_type, own.element_type);
    let value = Tensor { name: value, element_type: own.element_type, ..values };
    let wide = call.to.expand(&value, &wanted, &wanted_extents);
    let updates = call.to.transpose(&wide, &inverse(&result_order));
    let data = call.to.transpose(&own.name, &plan.order);
    let scatter = node("ScatterND", &[data, places, updates]);
    let scatter = if accumulate { scatter.with("reduction", "add") } else { scatter };
    let result = call.to.emit_node(scatter);
    let result = call.to.transpose(&result, &plan.back());
    call.give(0, result);
    Ok(())
}

fn evaluate_put(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, values) = (eval.tensor("self")?, eval.tensor("values")?);
    let given = evaluated_indices(eval, own.rank())?;
    let indexed: Vec<bool> = given.iter().map(Option::is_some).collect();
    let plan = Plan::new(&indexed, own.rank());
    let indices: Vec<Array> = given.into_iter().flatten().collect();
    let places = evaluated_stacked(&indices)?;
    let data = shape::transpose(&own, &plan.order)?;
    let inner = places.rank() - 1;
    let mut dims = places.dims()[..inner].to_vec();
    dims.extend(&data.dims()[plan.axes.len()..]);
    let result_order = plan.result_order(inner);
    let wanted: Vec<usize> = result_order.iter().map(|&at| dims[at]).collect();
    let values = elementwise::cast(&values, own.element_type())?;
    let wide = shape::broadcast_to(&values, &wanted)?;
    let updates = shape::transpose(&wide, &inverse(&result_order))?;
    let combine = if eval.bool_or("accumulate", false)? { Combine::Add } else { Combine::Replace };
    let result = index::scatter_nd(&data, &places, &updates, combine)?;
    one(shape::transpose(&result, &plan.back()))
}
