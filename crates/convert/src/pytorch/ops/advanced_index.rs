//! Elements by several tensors of indices or by masks: `x[i, :, j]`, `x[mask]`.

use modelyard_graph::ElementType;

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::graph::Size;
use crate::reference::index::{self, Combine};
use crate::reference::{Array, elementwise, layout, shape};

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

/// Which axes are indexed, and where the indexed ones stand in the result.
struct Plan {
    /// The indexed axes, in order.
    axes: Vec<usize>,
    /// The indexed axes first, then the others.
    order: Vec<usize>,
    /// Whether the indexed axes are side by side: then the result has them where they were, else
    /// in front.
    is_adjacent: bool,
}

impl Plan {
    fn new(indexed: &[bool], rank: usize) -> Plan {
        let axes: Vec<usize> =
            (0..rank).filter(|&axis| indexed.get(axis).copied().unwrap_or(false)).collect();
        let others = (0..rank).filter(|axis| !axes.contains(axis));
        let order = axes.iter().copied().chain(others).collect();
        let is_adjacent = axes.windows(2).all(|pair| pair[1] == pair[0] + 1);
        Plan { axes, order, is_adjacent }
    }

    /// The order that brings the axes of a result (`inner` axes of the indices in front) to where
    /// they belong.
    fn result_order(&self, inner: usize) -> Vec<usize> {
        let rank = inner + self.order.len() - self.axes.len();
        let ahead = if self.is_adjacent { self.axes.first().copied().unwrap_or(0) } else { 0 };
        let others = inner..inner + ahead;
        others.chain(0..inner).chain(inner + ahead..rank).collect()
    }

    /// The order that undoes the transpose to `order`.
    fn back(&self) -> Vec<usize> {
        inverse(&self.order)
    }
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    for (at, &from) in order.iter().enumerate() {
        back[from] = at;
    }
    back
}

/// The indices of a call by axis, booleans replaced by where they are true.
fn indices(call: &mut Call<'_, '_>, rank: usize) -> Result<Vec<Option<Tensor>>, Refusal> {
    let mut all = Vec::new();
    for index in call.optional_tensors("indices")? {
        match index {
            Some(mask) if matches!(mask.element_type, ElementType::Bool | ElementType::Uint8) => {
                let found = call.to.emit("NonZero", &[&mask.name]);
                for axis in 0..mask.rank() {
                    let at = call.to.emitter.integer("axis", axis as i64);
                    let name = call.to.emit_node(node("Gather", &[&found, &at]).with("axis", 0i64));
                    let sizes = vec![Size::Symbol(format!("number of true in {}", mask.name))];
                    all.push(Some(Tensor { name, element_type: ElementType::Int64, sizes }));
                }
            }
            Some(index) => {
                let name = call.to.cast(&index.name, index.element_type, ElementType::Int64);
                all.push(Some(Tensor { name, element_type: ElementType::Int64, ..index }));
            }
            None => all.push(None),
        }
    }
    if all.len() > rank {
        return Err(Refusal::new("more indices than axes", ""));
    }
    Ok(all)
}

/// The shape that several tensors broadcast to, as sizes and as extents.
fn common(call: &mut Call<'_, '_>, tensors: &[Tensor]) -> (Vec<Size>, Vec<Extent>) {
    let rank = tensors.iter().map(Tensor::rank).max().unwrap_or(0);
    let (mut sizes, mut extents) = (Vec::new(), Vec::new());
    for axis in 0..rank {
        let behind = rank - axis;
        let at = |tensor: &Tensor| tensor.rank().checked_sub(behind);
        let is_wide =
            |tensor: &&Tensor| at(tensor).is_some_and(|at| tensor.sizes[at] != Size::Known(1));
        match tensors.iter().find(is_wide).and_then(|tensor| Some((tensor, at(tensor)?))) {
            Some((tensor, at)) => {
                sizes.push(tensor.sizes[at].clone());
                extents.push(call.to.size(tensor, at));
            }
            None => {
                sizes.push(Size::Known(1));
                extents.push(Extent::Known(1));
            }
        }
    }
    (sizes, extents)
}

/// All indices, broadcast and side by side along a new last axis; with their common shape.
fn stacked(call: &mut Call<'_, '_>, indices: &[Tensor]) -> (String, Vec<Size>, Vec<Extent>) {
    let (sizes, extents) = common(call, indices);
    let last = sizes.len() as i64;
    let mut names = Vec::new();
    for index in indices {
        let wide = call.to.expand(index, &sizes, &extents);
        names.push(call.to.unsqueeze(&wide, &[last]));
    }
    (call.to.concat(&names, last), sizes, extents)
}

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

/// Indices of an evaluation by axis, booleans replaced by where they are true.
fn evaluated_indices(
    eval: &mut Eval<'_, '_>,
    rank: usize,
) -> Result<Vec<Option<Array>>, EvaluateError> {
    let mut all = Vec::new();
    for index in eval.optional_tensors("indices")? {
        match index {
            Some(mask) if matches!(mask.element_type(), ElementType::Bool | ElementType::Uint8) => {
                let found = index::where_nonzero(&mask)?;
                for row in shape::unstack(&found, 0)? {
                    all.push(Some(row));
                }
            }
            Some(index) => all.push(Some(elementwise::cast(&index, ElementType::Int64)?)),
            None => all.push(None),
        }
    }
    if all.len() > rank {
        return Err(EvaluateError::new("there are more indices than axes"));
    }
    Ok(all)
}

/// All indices, broadcast and side by side along a new last axis.
fn evaluated_stacked(indices: &[Array]) -> Result<Array, EvaluateError> {
    let mut dims = Vec::new();
    for index in indices {
        dims = layout::broadcast(&dims, index.dims())?;
    }
    let wide: Result<Vec<Array>, EvaluateError> =
        indices.iter().map(|index| shape::broadcast_to(index, &dims)).collect();
    shape::stack(&wide?.iter().collect::<Vec<_>>(), -1)
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

/// The mask, where it is the only index.
fn only_mask(call: &mut Call<'_, '_>) -> Result<Option<Tensor>, Refusal> {
    let indices = call.optional_tensors("indices")?;
    Ok(match indices.as_slice() {
        [Some(mask), rest @ ..]
            if mask.element_type == ElementType::Bool && rest.iter().all(Option::is_none) =>
        {
            Some(mask.clone())
        }
        _ => None,
    })
}

fn is_single(tensor: &Tensor) -> bool {
    tensor.sizes.iter().all(|size| size.known() == Some(1))
}

/// One value wherever a mask over the first axes holds.
fn put_where(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    mask: &Tensor,
    values: &Tensor,
) -> Result<(), Refusal> {
    let behind: Vec<i64> = (mask.rank() as i64..own.rank() as i64).collect();
    let mask = call.to.unsqueeze(&mask.name, &behind);
    let value = call.to.cast(&values.name, values.element_type, own.element_type);
    let none = call.to.ints(&[]);
    let value = call.to.emit("Reshape", &[&value, &none]);
    let result = call.to.emit("Where", &[&mask, &value, &own.name]);
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

fn convert_select(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, mask) = (call.tensor("self")?, call.tensor("mask")?);
    let both = [own.clone(), mask.clone()];
    let (sizes, extents) = common(call, &both);
    let (own, mask) =
        (call.to.expand(&own, &sizes, &extents), call.to.expand(&mask, &sizes, &extents));
    let flat = call.to.ints(&[-1]);
    let mask = call.to.emit("Reshape", &[&mask, &flat]);
    let own = call.to.emit("Reshape", &[&own, &flat]);
    let result = call.to.emit_node(node("Compress", &[own, mask]).with("axis", 0i64));
    call.give(0, result);
    Ok(())
}

/// Array and mask broadcast and flattened.
fn masked(eval: &mut Eval<'_, '_>) -> Result<(Array, Vec<i64>), EvaluateError> {
    let (own, mask) = (eval.tensor("self")?, eval.tensor("mask")?);
    let dims = layout::broadcast(own.dims(), mask.dims())?;
    let own = shape::broadcast_to(&own, &dims)?;
    let mask = shape::broadcast_to(&mask, &dims)?;
    let truths = mask.as_bools()?.iter().enumerate().filter(|(_, truth)| **truth);
    let places = truths.map(|(at, _)| at as i64).collect();
    Ok((own, places))
}

fn evaluate_select(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, places) = masked(eval)?;
    let flat = own.clone().reshaped(&[own.len()])?;
    one(index::gather(&flat, &Array::ints(&[places.len()], places)?, 0))
}

/// The elements of `source` in order, wherever the mask holds: the running number of each place.
fn convert_masked_scatter(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, mask, source) = (call.tensor("self")?, call.tensor("mask")?, call.tensor("source")?);
    let extents = call.to.sizes(&own);
    let mask = call.to.expand(&mask, &own.sizes, &extents);
    let flat = call.to.ints(&[-1]);
    let flat_mask = call.to.emit("Reshape", &[&mask, &flat]);
    let number = call.to.cast(&flat_mask, ElementType::Bool, ElementType::Int64);
    let zero = call.to.emitter.integer("axis", 0);
    let running = call.to.emit("CumSum", &[&number, &zero]);
    let unit = call.to.emitter.integer("one", 1);
    let places = call.to.emit("Sub", &[&running, &unit]);
    let places = call.to.emit("Max", &[&places, &zero]);
    let source = call.to.emit("Reshape", &[&source.name, &flat]);
    let values = call.to.emit("Gather", &[&source, &places]);
    let shape = call.to.shape(&extents);
    let values = call.to.emit("Reshape", &[&values, &shape]);
    let result = call.to.emit("Where", &[&mask, &values, &own.name]);
    call.give(0, result);
    Ok(())
}

fn evaluate_masked_scatter(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, places) = masked(eval)?;
    let source = eval.tensor("source")?;
    let source = source.as_ref().clone().reshaped(&[source.len()])?;
    let updates = shape::narrow(&source, 0, 0, places.len())?;
    let flat = own.clone().reshaped(&[own.len()])?;
    let places = Array::ints(&[places.len(), 1], places)?;
    let result = index::scatter_nd(&flat, &places, &updates, Combine::Replace)?;
    one(result.reshaped(own.dims()))
}

fn convert_nonzero(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let found = call.to.emit("NonZero", &[&own.name]);
    let result = call.to.emit_node(node("Transpose", &[found]).with("perm", [1i64, 0]));
    call.give(0, result);
    Ok(())
}

fn evaluate_nonzero(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    one(shape::transpose(&index::where_nonzero(&own)?, &[1, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_indices_stay_where_they_were() {
        let plan = Plan::new(&[false, true, true], 4);
        assert_eq!((plan.order.as_slice(), plan.is_adjacent), (&[1, 2, 0, 3][..], true));
        assert_eq!(plan.result_order(2), [2, 0, 1, 3]);
        let apart = Plan::new(&[true, false, true], 3);
        assert_eq!(apart.result_order(1), [0, 1]);
        assert_eq!(apart.back(), [0, 2, 1]);
    }
}
