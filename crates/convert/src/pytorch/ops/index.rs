//! Elements by their indices: along one axis.

use modelyard_graph::ElementType;

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Operand, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::elementwise::{self, Comparison};
use crate::reference::index::{self, Combine};
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, shape};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.embedding.default", "weight indices", convert_embedding, evaluate_embedding),
    operator("aten.index_select.default", "self dim index", convert_select, evaluate_select),
    operator("aten.gather.default", "self dim index sparse_grad", convert_gather, evaluate_gather),
    operator("aten.take_along_dim.default", "self indices dim", convert_along, evaluate_along),
    operator("aten.take.default", "self index", convert_take, evaluate_take),
    operator("aten.scatter.src", "self dim index src", convert_scatter, evaluate_scatter),
    operator("aten.scatter.value", "self dim index value", convert_scatter, evaluate_scatter),
    operator("aten.scatter.reduce", "self dim index src reduce", convert_scatter, evaluate_scatter),
    operator("aten.scatter_add.default", "self dim index src", convert_scatter, evaluate_scatter),
    operator(
        "aten.scatter_reduce.two",
        "self dim index src reduce include_self",
        convert_scatter,
        evaluate_scatter,
    ),
    operator("aten.index_add.default", "self dim index source alpha", convert_put, evaluate_put),
    operator("aten.index_copy.default", "self dim index source", convert_put, evaluate_put),
    operator("aten.index_fill.int_Scalar", "self dim index value", convert_put, evaluate_put),
    operator(
        "aten.bucketize.Tensor",
        "self boundaries out_int32 right",
        convert_bucket,
        evaluate_bucket,
    ),
];

fn convert_embedding(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (weight, indices) = (call.tensor("weight")?, call.tensor("indices")?);
    let result = call.to.emit("Gather", &[&weight.name, &indices.name]);
    call.give(0, result);
    Ok(())
}

fn evaluate_embedding(eval: &mut Eval<'_, '_>) -> Outcome {
    let (weight, indices) = (eval.tensor("weight")?, eval.tensor("indices")?);
    one(index::gather(&weight, &indices, 0))
}

fn convert_select(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, mut index) = (call.tensor("self")?, call.tensor("index")?);
    if index.rank() == 0 {
        index.name = call.to.unsqueeze(&index.name, &[0]);
    }
    let axis = call.axis("dim", own.rank(), 0)?;
    let gather = node("Gather", &[&own.name, &index.name]).with("axis", axis as i64);
    let result = call.to.emit_node(gather);
    call.give(0, result);
    Ok(())
}

fn evaluate_select(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, index) = (eval.tensor("self")?, eval.tensor("index")?);
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    let list = index.as_ref().clone().reshaped(&[index.len()])?;
    one(index::gather(&own, &list, axis))
}

fn convert_gather(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, index) = (call.tensor("self")?, call.tensor("index")?);
    if own.rank() == 0 {
        call.give(0, own.name);
        return Ok(());
    }
    let axis = call.axis("dim", own.rank(), 0)?;
    let gather = node("GatherElements", &[&own.name, &index.name]).with("axis", axis as i64);
    let result = call.to.emit_node(gather);
    call.give(0, result);
    Ok(())
}

fn evaluate_gather(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, index) = (eval.tensor("self")?, eval.tensor("index")?);
    if own.rank() == 0 {
        return Ok(vec![own.as_ref().clone().into()]);
    }
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    one(gathered(&own, &index, axis))
}

/// Elements along an axis; the index may be smaller than the array along the others.
fn gathered(own: &Array, index: &Array, axis: i64) -> Result<Array, EvaluateError> {
    index::gather_elements(&cut_to(own, index.dims(), axis)?, index, axis)
}

/// The first elements along every axis but one, as many as `dims` says.
fn cut_to(array: &Array, dims: &[usize], axis: i64) -> Result<Array, EvaluateError> {
    let mut cut = array.clone();
    for (at, &size) in dims.iter().enumerate() {
        if at as i64 != axis && cut.dims().get(at).is_some_and(|&own| own > size) {
            cut = shape::narrow(&cut, at as i64, 0, size)?;
        }
    }
    Ok(cut)
}

fn convert_along(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, index) = (call.tensor("self")?, call.tensor("indices")?);
    if !call.has("dim") {
        let flat = call.to.ints(&[-1]);
        let own = call.to.emit("Reshape", &[&own.name, &flat]);
        let index = call.to.emit("Reshape", &[&index.name, &flat]);
        let result = call.to.emit_node(node("Gather", &[own, index]).with("axis", 0i64));
        call.give(0, result);
        return Ok(());
    }
    let axis = call.axis("dim", own.rank(), 0)?;
    let others = |tensor: &Tensor| {
        let kept = tensor.sizes.iter().enumerate().filter(|(at, _)| *at != axis);
        kept.map(|(_, size)| size.clone()).collect::<Vec<_>>()
    };
    if others(&own) != others(&index) {
        return Err(Refusal::new("indices that broadcast", "expand both tensors before"));
    }
    let gather = node("GatherElements", &[&own.name, &index.name]).with("axis", axis as i64);
    let result = call.to.emit_node(gather);
    call.give(0, result);
    Ok(())
}

fn evaluate_along(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, index) = (eval.tensor("self")?, eval.tensor("indices")?);
    if !eval.has("dim") {
        let flat = own.as_ref().clone().reshaped(&[own.len()])?;
        let places = index.as_ref().clone().reshaped(&[index.len()])?;
        return one(index::gather(&flat, &places, 0));
    }
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    one(index::gather_elements(&own, &index, axis))
}

fn convert_take(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, index) = (call.tensor("self")?, call.tensor("index")?);
    let flat = call.to.ints(&[-1]);
    let own = call.to.emit("Reshape", &[&own.name, &flat]);
    let result = call.to.emit("Gather", &[&own, &index.name]);
    call.give(0, result);
    Ok(())
}

fn evaluate_take(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, index) = (eval.tensor("self")?, eval.tensor("index")?);
    one(index::gather(&own.as_ref().clone().reshaped(&[own.len()])?, &index, 0))
}

/// How elements are combined: as ONNX calls it, and here.
fn combination(operator: &str, reduce: &str) -> Option<(&'static str, Combine)> {
    Some(match (operator, reduce) {
        ("scatter_add", _) | (_, "add" | "sum") => ("add", Combine::Add),
        (_, "multiply" | "prod") => ("mul", Combine::Multiply),
        (_, "amax") => ("max", Combine::Max),
        (_, "amin") => ("min", Combine::Min),
        (_, "") => ("none", Combine::Replace),
        _ => return None,
    })
}

fn convert_scatter(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, index) = (call.tensor("self")?, call.tensor("index")?);
    let reduce = call.text_or("reduce", "")?;
    let (reduction, _) = combination(call.operator(), &reduce)
        .ok_or_else(|| Refusal::new(format!("the reduction '{reduce}'"), "use sum or amax"))?;
    if !call.bool_or("include_self", true)? {
        return Err(Refusal::new("a reduction without the elements that are there", "fill first"));
    }
    let axis = call.axis("dim", own.rank(), 0)?;
    let updates = if call.has("src") {
        let src = call.tensor("src")?;
        cut_like(call, &src, &index)
    } else {
        let value = call.operand("value")?;
        let value = super::operands::typed(call, &value, own.element_type);
        let extents = call.to.sizes(&index);
        let shape = call.to.shape(&extents);
        call.to.emit("Expand", &[&value, &shape])
    };
    let scatter = node("ScatterElements", &[&own.name, &index.name, &updates]);
    let scatter = scatter.with("axis", axis as i64);
    let scatter = if reduction == "none" { scatter } else { scatter.with("reduction", reduction) };
    let result = call.to.emit_node(scatter);
    call.give(0, result);
    Ok(())
}

/// The part of `src` that an index of this shape names.
fn cut_like(call: &mut Call<'_, '_>, src: &Tensor, index: &Tensor) -> String {
    let mut name = src.name.clone();
    for axis in 0..src.rank() {
        let (own, wanted) = (src.sizes.get(axis), index.sizes.get(axis));
        if own.zip(wanted).is_some_and(|(own, wanted)| !own.same(wanted)) {
            let end = call.to.size(index, axis);
            name = call.to.slice(&name, axis, &Extent::Known(0), &end, 1);
        }
    }
    name
}

fn evaluate_scatter(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, index) = (eval.tensor("self")?, eval.tensor("index")?);
    let reduce = eval.text_or("reduce", "")?;
    let (_, combine) = combination(eval.operator(), &reduce)
        .ok_or_else(|| EvaluateError::new(format!("there is no reduction '{reduce}' here")))?;
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    let updates = if eval.has("src") {
        let src = eval.tensor("src")?;
        // Along the axis too, the index says how many count.
        cut_to(&src, index.dims(), -1)?
    } else {
        let value = eval.operand("value")?.array(own.element_type())?;
        shape::broadcast_to(&value, index.dims())?
    };
    one(index::scatter_elements(&own, &index, &updates, axis, combine))
}

/// Whole parts along an axis are added to, replaced or filled.
fn convert_put(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, index) = (call.tensor("self")?, call.tensor("index")?);
    let axis = call.axis("dim", own.rank(), 0)?;
    let mut order: Vec<usize> = (0..own.rank()).filter(|&at| at != axis).collect();
    order.insert(0, axis);
    let mut back = vec![0; order.len()];
    for (at, &from) in order.iter().enumerate() {
        back[from] = at;
    }
    let data = call.to.transpose(&own.name, &order);
    let places = if index.rank() == 0 { vec![0, 1] } else { vec![1] };
    let places = call.to.unsqueeze(&index.name, &places);
    let updates = if call.has("source") {
        let source = call.tensor("source")?;
        let turned = call.to.transpose(&source.name, &order);
        match call.scalar("alpha")?.filter(|alpha| alpha.as_f64() != 1.0) {
            Some(alpha) => {
                let alpha = call.to.number(alpha, source.element_type);
                call.to.emit("Mul", &[&turned, &alpha])
            }
            None => turned,
        }
    } else {
        let value = call.operand("value")?;
        let value = super::operands::typed(call, &value, own.element_type);
        let mut extents = vec![match index.rank() {
            0 => Extent::Known(1),
            _ => call.to.size(&index, 0),
        }];
        for &at in order.iter().skip(1) {
            extents.push(call.to.size(&own, at));
        }
        let shape = call.to.shape(&extents);
        call.to.emit("Expand", &[&value, &shape])
    };
    let scatter = node("ScatterND", &[data, places, updates]);
    let scatter = match call.operator() {
        "index_add" => scatter.with("reduction", "add"),
        _ => scatter,
    };
    let result = call.to.emit_node(scatter);
    let result = call.to.transpose(&result, &back);
    call.give(0, result);
    Ok(())
}

fn evaluate_put(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, index) = (eval.tensor("self")?, eval.tensor("index")?);
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    let data = shape::swap_axes(&own, axis, 0)?;
    let places = index.as_ref().clone().reshaped(&[index.len(), 1])?;
    let mut dims = data.dims().to_vec();
    if let Some(first) = dims.first_mut() {
        *first = index.len();
    }
    let updates = if eval.has("source") {
        let source = shape::swap_axes(&*eval.tensor("source")?, axis, 0)?;
        match eval.float_or("alpha", 1.0)? {
            1.0 => source,
            alpha => elementwise::map(&source, |value| value * alpha)?,
        }
    } else {
        let value = eval.operand("value")?.array(own.element_type())?;
        shape::broadcast_to(&value, &dims)?
    };
    let combine = if eval.operator() == "index_add" { Combine::Add } else { Combine::Replace };
    let result = index::scatter_nd(&data, &places, &updates, combine)?;
    one(shape::swap_axes(&result, axis, 0))
}

/// How many boundaries lie below each value.
fn convert_bucket(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, boundaries) = (call.tensor("self")?, call.tensor("boundaries")?);
    let op_type = if call.bool_or("right", false)? { "LessOrEqual" } else { "Less" };
    let value = call.to.unsqueeze(&own.name, &[own.rank() as i64]);
    let (one, two) = (Operand::Tensor(own.clone()), Operand::Tensor(boundaries.clone()));
    let kind = super::operands::calculated(super::operands::result_type(&[&one, &two]));
    let value = call.to.cast(&value, own.element_type, kind);
    let edges = call.to.cast(&boundaries.name, boundaries.element_type, kind);
    let below = call.to.emit(op_type, &[&edges, &value]);
    let counts = call.to.cast(&below, ElementType::Bool, ElementType::Int64);
    let axes = call.to.ints(&[-1]);
    let sum = node("ReduceSum", &[counts, axes]).with("keepdims", 0i64);
    let result = call.to.emit_node(sum);
    call.give_as(0, &result, ElementType::Int64)
}

fn evaluate_bucket(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, boundaries) = (eval.tensor("self")?, eval.tensor("boundaries")?);
    let how = match eval.bool_or("right", false)? {
        true => Comparison::LessOrEqual,
        false => Comparison::Less,
    };
    let value = shape::expand_dims(&elementwise::cast(&own, ElementType::Float64)?, &[-1])?;
    let edges = elementwise::cast(&boundaries, ElementType::Float64)?;
    let below = elementwise::compare(&edges, &value, how)?;
    let counts = reduce::sum(&elementwise::cast(&below, ElementType::Int64)?, Over::axes(&[-1]))?;
    let narrow = eval.bool_or("out_int32", false)?;
    one(if narrow { elementwise::cast(&counts, ElementType::Int32) } else { Ok(counts) })
}
