//! Tensors repeated along axes.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value, one};
use crate::pytorch::graph::Size;
use crate::reference::{index, layout, shape};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.expand.default", "self size implicit", convert_expand, evaluate_expand),
    operator("aten.broadcast_to.default", "self size", convert_expand, evaluate_expand),
    operator("aten.expand_as.default", "self other", convert_like, evaluate_like),
    operator("aten.broadcast_tensors.default", "tensors", convert_all, evaluate_all),
    operator("aten.repeat.default", "self repeats", convert_repeat, evaluate_repeat),
    operator("aten.tile.default", "self dims", convert_repeat, evaluate_repeat),
    operator(
        "aten.repeat_interleave.self_int",
        "self repeats dim output_size",
        convert_interleave,
        evaluate_interleave,
    ),
    operator("aten.meshgrid.default", "tensors indexing", convert_mesh, evaluate_mesh),
    operator("aten.meshgrid.indexing", "tensors indexing", convert_mesh, evaluate_mesh),
];

fn convert_expand(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let extents = call.extents("size")?;
    let (_, sizes) = call.output(0)?;
    let result = call.to.expand(&own, sizes, &extents);
    call.give(0, result);
    Ok(())
}

fn convert_like(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, other) = (call.tensor("self")?, call.tensor("other")?);
    let extents = missing_extents(call, &own, &other);
    let result = call.to.expand(&own, &other.sizes, &extents);
    call.give(0, result);
    Ok(())
}

/// The sizes of `like`; those that nothing asks for are not computed.
fn missing_extents(call: &mut Call<'_, '_>, own: &Tensor, like: &Tensor) -> Vec<Extent> {
    let ahead = like.rank().saturating_sub(own.rank());
    (0..like.rank())
        .map(|axis| {
            let same = axis
                .checked_sub(ahead)
                .and_then(|at| own.sizes.get(at))
                .is_some_and(|size| like.sizes[axis].same(size));
            if same { Extent::Known(1) } else { call.to.size(like, axis) }
        })
        .collect()
}

fn convert_all(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let tensors = call.tensors("tensors")?;
    for (index, tensor) in tensors.iter().enumerate() {
        let (_, sizes) = call.output(index)?;
        let mut extents = Vec::new();
        for (axis, size) in sizes.iter().enumerate() {
            let behind = sizes.len() - axis;
            let donor = tensors.iter().find(|other| {
                other.rank().checked_sub(behind).is_some_and(|at| other.sizes[at].same(size))
            });
            extents.push(match (size.known(), donor) {
                (Some(known), _) => Extent::Known(known),
                (None, Some(donor)) => call.to.size(donor, donor.rank() - behind),
                (None, None) => return Err(Refusal::new("a size that no tensor has", "")),
            });
        }
        let result = call.to.expand(tensor, sizes, &extents);
        call.give(index, result);
    }
    Ok(())
}

fn expanded(own: &crate::pytorch::evaluate::Strided, sizes: &[i64]) -> Outcome {
    let wrong = || {
        let found = own.dims();
        EvaluateError::new(format!("shape {found:?} does not expand to {sizes:?}"))
    };
    let ahead = sizes.len().checked_sub(own.dims().len()).ok_or_else(wrong)?;
    let (mut dims, mut strides) = (Vec::new(), Vec::new());
    for (axis, &size) in sizes.iter().enumerate() {
        let own_axis = axis.checked_sub(ahead);
        let (from, stride) = own_axis.map_or((1, 0), |at| (own.dims()[at], own.strides()[at]));
        let to = if size == -1 { from } else { usize::try_from(size).map_err(|_| wrong())? };
        if from != to && from != 1 {
            return Err(wrong());
        }
        dims.push(to);
        strides.push(if from == to { stride } else { 0 });
    }
    layout::elements(&dims)?;
    Ok(vec![Value::Tensor(own.seen(dims, strides, own.offset()))])
}

fn evaluate_expand(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    expanded(&own, &eval.ints("size")?)
}

fn evaluate_like(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, other) = (eval.view("self")?, eval.view("other")?);
    let sizes: Vec<i64> = other.dims().iter().map(|&size| size as i64).collect();
    expanded(&own, &sizes)
}

fn evaluate_all(eval: &mut Eval<'_, '_>) -> Outcome {
    let tensors = eval.tensors("tensors")?;
    let mut dims = Vec::new();
    for tensor in &tensors {
        dims = layout::broadcast(&dims, tensor.dims())?;
    }
    tensors.iter().map(|tensor| shape::broadcast_to(tensor, &dims).map(Value::from)).collect()
}

fn repeats_name(operator: &str) -> &'static str {
    if operator == "tile" { "dims" } else { "repeats" }
}

fn convert_repeat(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let mut repeats = call.extents(repeats_name(call.operator()))?;
    while repeats.len() < own.rank() {
        repeats.insert(0, Extent::Known(1));
    }
    let ahead: Vec<i64> = (0..(repeats.len() - own.rank()) as i64).collect();
    let wide = call.to.unsqueeze(&own.name, &ahead);
    let repeats = call.to.shape(&repeats);
    let result = call.to.emit("Tile", &[&wide, &repeats]);
    call.give(0, result);
    Ok(())
}

fn evaluate_repeat(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let mut repeats = eval.dims(repeats_name(eval.operator()))?;
    while repeats.len() < own.rank() {
        repeats.insert(0, 1);
    }
    let mut dims = vec![1; repeats.len() - own.rank()];
    dims.extend(own.dims());
    one(shape::tile(&own.as_ref().clone().reshaped(&dims)?, &repeats))
}

/// Each element `repeats` times, one behind the other.
fn convert_interleave(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let mut own = call.tensor("self")?;
    let repeats = call.extent("repeats")?;
    let axis = if call.has("dim") && own.rank() > 0 {
        call.axis("dim", own.rank(), 0)?
    } else {
        let flat = call.to.ints(&[-1]);
        let name = call.to.emit("Reshape", &[&own.name, &flat]);
        own = Tensor { name, sizes: vec![Size::Unknown], ..own };
        0
    };
    let wide = call.to.unsqueeze(&own.name, &[axis as i64 + 1]);
    let mut all = vec![Extent::Known(1); own.rank() + 1];
    all[axis + 1] = repeats.clone();
    let all = call.to.shape(&all);
    let name = call.to.emit("Expand", &[&wide, &all]);
    let mut extents = Vec::new();
    for at in 0..own.rank() {
        extents.push(match (at == axis, at) {
            (true, _) => Extent::Known(-1),
            (false, at) => call.to.size(&own, at),
        });
    }
    let (_, sizes) = call.output(0)?;
    let from = Tensor { name, element_type: own.element_type, sizes: Vec::new() };
    let result = call.to.reshape(&from, sizes, Some(&extents));
    call.give(0, result);
    Ok(())
}

fn evaluate_interleave(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let repeats = usize::try_from(eval.int("repeats")?).unwrap_or(0);
    let (own, axis) = match eval.has("dim") && own.rank() > 0 {
        true => (own.as_ref().clone(), eval.axis("dim", own.rank(), 0)?),
        false => (own.as_ref().clone().reshaped(&[own.len()])?, 0),
    };
    let size = own.dims().get(axis).copied().unwrap_or(1);
    layout::elements(&[size, repeats])?;
    let places = (0..size as i64).flat_map(|at| std::iter::repeat_n(at, repeats)).collect();
    let places = crate::reference::Array::ints(&[size * repeats], places)?;
    one(index::gather(&own, &places, axis as i64))
}

/// Each of several vectors along an axis of its own, repeated along those of the others.
fn convert_mesh(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let tensors = call.tensors("tensors")?;
    let swapped = call.text_or("indexing", "ij")? == "xy" && tensors.len() >= 2;
    let mut extents: Vec<Extent> = Vec::new();
    for tensor in &tensors {
        extents.push(if tensor.rank() == 0 { Extent::Known(1) } else { call.to.size(tensor, 0) });
    }
    if swapped {
        extents.swap(0, 1);
    }
    let shape = call.to.shape(&extents);
    for (index, tensor) in tensors.iter().enumerate() {
        let axis = mesh_axis(index, swapped);
        let mut own = vec![1i64; tensors.len()];
        own[axis] = -1;
        let own = call.to.ints(&own);
        let wide = call.to.emit_node(node("Reshape", &[&tensor.name, &own]));
        let result = call.to.emit("Expand", &[&wide, &shape]);
        call.give(index, result);
    }
    Ok(())
}

fn mesh_axis(index: usize, swapped: bool) -> usize {
    if swapped && index < 2 { 1 - index } else { index }
}

fn evaluate_mesh(eval: &mut Eval<'_, '_>) -> Outcome {
    let tensors = eval.tensors("tensors")?;
    let swapped = eval.text_or("indexing", "ij")? == "xy" && tensors.len() >= 2;
    let mut dims: Vec<usize> = tensors.iter().map(|tensor| tensor.len()).collect();
    if swapped {
        dims.swap(0, 1);
    }
    let mut results = Vec::new();
    for (index, tensor) in tensors.iter().enumerate() {
        let mut own = vec![1; dims.len()];
        own[mesh_axis(index, swapped)] = tensor.len();
        let wide = tensor.as_ref().clone().reshaped(&own)?;
        results.push(shape::broadcast_to(&wide, &dims)?.into());
    }
    Ok(results)
}
