//! Reductions: many elements become one.

use modelyard_graph::ElementType;

use super::operands::{calculated, float_type};
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Scalar, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value, one};
use crate::pytorch::types::{Kind, kind};
use crate::reference::reduce::{self, Over, Tie};
use crate::reference::{Array, elementwise};

const ALL: &str = "self dtype";
const DIM: &str = "self dim keepdim dtype";
const PLAIN: &str = "self dim keepdim";
const UNBIASED: &str = "self unbiased";
const UNBIASED_DIM: &str = "self dim unbiased keepdim";
const CORRECTION: &str = "self dim correction keepdim";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.sum.dim_IntList", DIM, convert, evaluate),
    operator("aten.sum.default", ALL, convert, evaluate),
    operator("aten.mean.dim", DIM, convert, evaluate),
    operator("aten.mean.default", ALL, convert, evaluate),
    operator("aten.prod.default", ALL, convert, evaluate),
    operator("aten.prod.dim_int", DIM, convert, evaluate),
    operator("aten.amax.default", PLAIN, convert, evaluate),
    operator("aten.amin.default", PLAIN, convert, evaluate),
    operator("aten.max.default", "self", convert, evaluate),
    operator("aten.min.default", "self", convert, evaluate),
    operator("aten.logsumexp.default", PLAIN, convert, evaluate),
    operator("aten.any.default", "self", convert_truth, evaluate_truth),
    operator("aten.any.dim", PLAIN, convert_truth, evaluate_truth),
    operator("aten.any.dims", PLAIN, convert_truth, evaluate_truth),
    operator("aten.all.default", "self", convert_truth, evaluate_truth),
    operator("aten.all.dim", PLAIN, convert_truth, evaluate_truth),
    operator("aten.all.dims", PLAIN, convert_truth, evaluate_truth),
    operator("aten.max.dim", PLAIN, convert_with_places, evaluate_with_places),
    operator("aten.min.dim", PLAIN, convert_with_places, evaluate_with_places),
    operator("aten.argmax.default", PLAIN, convert_place, evaluate_place),
    operator("aten.argmin.default", PLAIN, convert_place, evaluate_place),
    operator("aten.aminmax.default", PLAIN, convert_aminmax, evaluate_aminmax),
    operator("aten.var.default", UNBIASED, convert_variance, evaluate_variance),
    operator("aten.var.dim", UNBIASED_DIM, convert_variance, evaluate_variance),
    operator("aten.var.correction", CORRECTION, convert_variance, evaluate_variance),
    operator("aten.std.default", UNBIASED, convert_variance, evaluate_variance),
    operator("aten.std.dim", UNBIASED_DIM, convert_variance, evaluate_variance),
    operator("aten.std.correction", CORRECTION, convert_variance, evaluate_variance),
    operator("aten.var_mean.default", UNBIASED, convert_variance, evaluate_variance),
    operator("aten.var_mean.dim", UNBIASED_DIM, convert_variance, evaluate_variance),
    operator("aten.var_mean.correction", CORRECTION, convert_variance, evaluate_variance),
    operator("aten.std_mean.default", UNBIASED, convert_variance, evaluate_variance),
    operator("aten.std_mean.dim", UNBIASED_DIM, convert_variance, evaluate_variance),
    operator("aten.std_mean.correction", CORRECTION, convert_variance, evaluate_variance),
    operator(
        "aten.linalg_vector_norm.default",
        "self ord dim keepdim dtype",
        convert_norm,
        evaluate_norm,
    ),
    operator("aten.norm.Scalar", "self p", convert_norm, evaluate_norm),
    operator("aten.norm.ScalarOpt_dim", "self p dim keepdim", convert_norm, evaluate_norm),
    operator(
        "aten.norm.ScalarOpt_dim_dtype",
        "self p dim keepdim dtype",
        convert_norm,
        evaluate_norm,
    ),
    operator("aten.frobenius_norm.dim", PLAIN, convert_norm, evaluate_norm),
    operator("aten.count_nonzero.default", "self dim", convert_count, evaluate_count),
    operator("aten.count_nonzero.dim_IntList", "self dim", convert_count, evaluate_count),
];

/// The axes of a call as a tensor, and whether they stay.
fn over(call: &mut Call<'_, '_>, own: &Tensor) -> Result<(Vec<i64>, i64), Refusal> {
    let axes = call.axes("dim", own.rank())?;
    let kept = call.bool_or("keepdim", false)?;
    Ok((axes.into_iter().map(|axis| axis as i64).collect(), i64::from(kept)))
}

/// One node over some axes.
fn reduced(
    call: &mut Call<'_, '_>,
    op_type: &str,
    name: &str,
    (axes, kept): &(Vec<i64>, i64),
) -> String {
    if axes.is_empty() {
        // A tensor without dimensions: nothing to reduce.
        return name.to_owned();
    }
    let axes = call.to.ints(axes);
    call.to.emit_node(node(op_type, &[name, &axes]).with("keepdims", *kept))
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (wanted, _) = call.output(0)?;
    let op_type = match call.operator() {
        "sum" => "ReduceSum",
        "mean" => "ReduceMean",
        "prod" => "ReduceProd",
        "amax" | "max" => "ReduceMax",
        "amin" | "min" => "ReduceMin",
        _ => "ReduceLogSumExp",
    };
    let over = over(call, &own)?;
    let element_type = match calculated(wanted) {
        // Largest and smallest truth values.
        ElementType::Bool => ElementType::Int32,
        other => other,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let result = if own.rank() == 0 && call.operator() == "logsumexp" {
        value
    } else {
        reduced(call, op_type, &value, &over)
    };
    call.give_as(0, &result, element_type)
}

/// The axes of an evaluation: all where none are named.
fn evaluated_axes(eval: &mut Eval<'_, '_>, rank: usize) -> Result<Vec<i64>, EvaluateError> {
    let axes = eval.axes("dim", rank)?;
    let all = axes.is_empty() || rank == 0;
    let axes: Vec<usize> = if all { (0..rank).collect() } else { axes };
    Ok(axes.into_iter().map(|axis| axis as i64).collect())
}

/// The type that sums and products are taken in.
fn summed_type(eval: &mut Eval<'_, '_>, own: ElementType) -> Result<ElementType, EvaluateError> {
    let default = match (eval.operator(), kind(own)) {
        ("sum" | "prod", Kind::Bool | Kind::Int) => ElementType::Int64,
        ("logsumexp", Kind::Bool | Kind::Int) => ElementType::Float32,
        _ => own,
    };
    Ok(eval.element_type("dtype")?.unwrap_or(default))
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axes = evaluated_axes(eval, own.rank())?;
    let keep_dims = eval.bool_or("keepdim", false)?;
    let over = Over { axes: Some(&axes), keep_dims };
    let element_type = summed_type(eval, own.element_type())?;
    if element_type == ElementType::Bool {
        return one(match eval.operator() {
            "amax" | "max" => reduce::any(&own, over),
            _ => reduce::all(&own, over),
        });
    }
    let value = elementwise::cast(&own, element_type)?;
    one(match eval.operator() {
        "sum" => reduce::sum(&value, over),
        "mean" => reduce::mean(&value, over),
        "prod" => reduce::prod(&value, over),
        "amax" | "max" => reduce::max(&value, over),
        "amin" | "min" => reduce::min(&value, over),
        _ => reduce::log_sum_exp(&value, over),
    })
}

/// Whether any or all elements are not zero: the largest or smallest of 0 and 1.
fn convert_truth(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let over = over(call, &own)?;
    let truth = call.to.cast(&own.name, own.element_type, ElementType::Bool);
    let number = call.to.cast(&truth, ElementType::Bool, ElementType::Int32);
    let op_type = if call.operator() == "any" { "ReduceMax" } else { "ReduceMin" };
    let result = reduced(call, op_type, &number, &over);
    let result = call.to.cast(&result, ElementType::Int32, ElementType::Bool);
    call.give_as(0, &result, ElementType::Bool)
}

fn evaluate_truth(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axes = evaluated_axes(eval, own.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: eval.bool_or("keepdim", false)? };
    let truth = elementwise::cast(&own, ElementType::Bool)?;
    let found = match eval.operator() {
        "any" => reduce::any(&truth, over)?,
        _ => reduce::all(&truth, over)?,
    };
    // Of bytes they give bytes.
    let byte = own.element_type() == ElementType::Uint8;
    one(if byte { elementwise::cast(&found, ElementType::Uint8) } else { Ok(found) })
}

/// The largest or smallest elements along an axis, and where they stand.
fn convert_with_places(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let is_max = call.operator() == "max";
    if own.rank() == 0 {
        call.give(0, own.name);
        let zero = call.to.emitter.integer("place", 0);
        call.give(1, zero);
        return Ok(());
    }
    let element_type = match calculated(own.element_type) {
        ElementType::Bool => ElementType::Int32,
        other => other,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let axis = call.axis("dim", own.rank(), 0)? as i64;
    let kept = i64::from(call.bool_or("keepdim", false)?);
    let op_type = if is_max { "ReduceMax" } else { "ReduceMin" };
    let result = reduced(call, op_type, &value, &(vec![axis], kept));
    call.give_as(0, &result, element_type)?;
    if call.wants(1) {
        let op_type = if is_max { "ArgMax" } else { "ArgMin" };
        let place = node(op_type, &[&value]).with("axis", axis).with("keepdims", kept);
        let place = call.to.emit_node(place);
        call.give(1, place);
    }
    Ok(())
}

fn evaluate_with_places(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    if own.rank() == 0 {
        return Ok(vec![own.as_ref().clone().into(), Array::ints(&[], vec![0])?.into()]);
    }
    let is_max = eval.operator() == "max";
    let axis = eval.axis("dim", own.rank(), 0)? as i64;
    let keep_dims = eval.bool_or("keepdim", false)?;
    let axes = [axis];
    let over = Over { axes: Some(&axes), keep_dims };
    let number = numbers(&own)?;
    let (value, place) = match is_max {
        true => {
            (reduce::max(&number, over)?, reduce::arg_max(&number, axis, keep_dims, Tie::First)?)
        }
        false => {
            (reduce::min(&number, over)?, reduce::arg_min(&number, axis, keep_dims, Tie::First)?)
        }
    };
    Ok(vec![elementwise::cast(&value, own.element_type())?.into(), place.into()])
}

/// Booleans as integers.
fn numbers(array: &Array) -> Result<Array, EvaluateError> {
    match array.element_type() {
        ElementType::Bool => elementwise::cast(array, ElementType::Int32),
        _ => Ok(array.clone()),
    }
}

fn convert_place(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let op_type = if call.operator() == "argmax" { "ArgMax" } else { "ArgMin" };
    let kept = call.bool_or("keepdim", false)?;
    let element_type = match calculated(own.element_type) {
        ElementType::Bool => ElementType::Int32,
        other => other,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    if call.has("dim") && own.rank() > 0 {
        let axis = call.axis("dim", own.rank(), 0)? as i64;
        let place = node(op_type, &[&value]).with("axis", axis).with("keepdims", i64::from(kept));
        let place = call.to.emit_node(place);
        call.give(0, place);
        return Ok(());
    }
    let flat = call.to.ints(&[-1]);
    let flat = call.to.emit("Reshape", &[&value, &flat]);
    let place = node(op_type, &[&flat]).with("axis", 0i64).with("keepdims", 0i64);
    let mut place = call.to.emit_node(place);
    if kept {
        let axes: Vec<i64> = (0..own.rank() as i64).collect();
        place = call.to.unsqueeze(&place, &axes);
    }
    call.give(0, place);
    Ok(())
}

fn evaluate_place(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = numbers(&*eval.tensor("self")?)?;
    let keep_dims = eval.bool_or("keepdim", false)?;
    let (array, axis, kept) = match eval.has("dim") && own.rank() > 0 {
        true => (own.clone(), eval.axis("dim", own.rank(), 0)? as i64, keep_dims),
        false => (own.clone().reshaped(&[own.len()])?, 0, false),
    };
    let place = match eval.operator() {
        "argmax" => reduce::arg_max(&array, axis, kept, Tie::First)?,
        _ => reduce::arg_min(&array, axis, kept, Tie::First)?,
    };
    match keep_dims && !eval.has("dim") {
        true => one(place.reshaped(&vec![1; own.rank()])),
        false => one(Ok(place)),
    }
}

fn convert_aminmax(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let over = over(call, &own)?;
    let wide = calculated(own.element_type);
    let value = call.to.cast(&own.name, own.element_type, wide);
    for (index, op_type) in ["ReduceMin", "ReduceMax"].into_iter().enumerate() {
        let result = reduced(call, op_type, &value, &over);
        call.give_as(index, &result, wide)?;
    }
    Ok(())
}

fn evaluate_aminmax(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axes = evaluated_axes(eval, own.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: eval.bool_or("keepdim", false)? };
    Ok(vec![reduce::min(&own, over)?.into(), reduce::max(&own, over)?.into()])
}

/// By how much the number of elements is less, where squares are averaged: 1 unless told.
fn correction(call: &mut Call<'_, '_>) -> Result<f64, Refusal> {
    if call.has("correction") {
        return call.float_or("correction", 1.0);
    }
    Ok(f64::from(call.bool_or("unbiased", true)?))
}

/// Variance or deviation, and the mean where it is asked for.
fn convert_variance(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let kind = own.element_type;
    let (axes, kept) = over(call, &own)?;
    let correction = correction(call)?;
    let mean = reduced(call, "ReduceMean", &own.name, &(axes.clone(), 1));
    let centred = call.to.emit("Sub", &[&own.name, &mean]);
    let squares = call.to.emit("Mul", &[&centred, &centred]);
    let mut variance = reduced(call, "ReduceMean", &squares, &(axes.clone(), kept));
    if correction != 0.0 {
        let factor = corrected(call, &own, &axes, correction);
        variance = call.to.emit("Mul", &[&variance, &factor]);
    }
    if call.operator().starts_with("std") {
        variance = call.to.emit("Sqrt", &[&variance]);
    }
    call.give_as(0, &variance, kind)?;
    if call.wants(1) {
        let mean = if kept == 1 { mean } else { call.to.squeeze(&mean, &axes) };
        call.give_as(1, &mean, kind)?;
    }
    Ok(())
}

/// The number of elements over what squares are divided by.
fn corrected(call: &mut Call<'_, '_>, own: &Tensor, axes: &[i64], correction: f64) -> String {
    let kind = own.element_type;
    let extents: Vec<Extent> = axes.iter().map(|&axis| call.to.size(own, axis as usize)).collect();
    let count = call.to.product(&extents);
    if let Some(count) = count.known() {
        let factor = count as f64 / (count as f64 - correction).max(0.0);
        return call.to.float(factor, kind);
    }
    let count = call.to.extent_number(&count, kind);
    let correction = call.to.number(Scalar::Float(correction), kind);
    let less = call.to.emit("Sub", &[&count, &correction]);
    call.to.emit("Div", &[&count, &less])
}

fn evaluate_variance(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axes = evaluated_axes(eval, own.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: eval.bool_or("keepdim", false)? };
    let correction = match eval.has("correction") {
        true => eval.float_or("correction", 1.0)?,
        false => f64::from(eval.bool_or("unbiased", true)?),
    };
    let mut variance = reduce::variance(&own, correction, over)?;
    if eval.operator().starts_with("std") {
        variance = elementwise::map(&variance, f64::sqrt)?;
    }
    let mut results = vec![Value::from(variance)];
    if eval.operator().ends_with("_mean") {
        results.push(reduce::mean(&own, over)?.into());
    }
    Ok(results)
}

/// `(Σ |x|^p)^(1/p)`; the largest or smallest magnitude for infinite `p`.
fn convert_norm(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (wanted, _) = call.output(0)?;
    let name = if call.operator() == "linalg_vector_norm" { "ord" } else { "p" };
    let p = call.float_or(name, 2.0)?;
    let over = over(call, &own)?;
    let value = call.to.cast(&own.name, own.element_type, wanted);
    let result = if p == 2.0 {
        reduced(call, "ReduceL2", &value, &over)
    } else if p == 1.0 {
        reduced(call, "ReduceL1", &value, &over)
    } else {
        let size = call.to.emit("Abs", &[&value]);
        if p.is_infinite() {
            let op_type = if p > 0.0 { "ReduceMax" } else { "ReduceMin" };
            reduced(call, op_type, &size, &over)
        } else if p == 0.0 {
            let zero = call.to.float(0.0, wanted);
            let counts = call.to.emit("Greater", &[&size, &zero]);
            let counts = call.to.cast(&counts, ElementType::Bool, wanted);
            reduced(call, "ReduceSum", &counts, &over)
        } else {
            let (power, root) = (call.to.float(p, wanted), call.to.float(p.recip(), wanted));
            let powers = call.to.emit("Pow", &[&size, &power]);
            let sum = reduced(call, "ReduceSum", &powers, &over);
            call.to.emit("Pow", &[&sum, &root])
        }
    };
    let result = if own.rank() == 0 { call.to.emit("Abs", &[&result]) } else { result };
    call.give(0, result);
    Ok(())
}

fn evaluate_norm(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let name = if eval.operator() == "linalg_vector_norm" { "ord" } else { "p" };
    let p = eval.float_or(name, 2.0)?;
    let element_type = eval.element_type("dtype")?.unwrap_or(float_type(own.element_type()));
    let value = elementwise::cast(&own, element_type)?;
    let axes = evaluated_axes(eval, own.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: eval.bool_or("keepdim", false)? };
    one(match p {
        2.0 => reduce::norm_l2(&value, over),
        1.0 => reduce::norm_l1(&value, over),
        p => reduce::norm(&value, p, over),
    })
}

fn convert_count(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axes: Vec<i64> =
        call.axes("dim", own.rank())?.into_iter().map(|axis| axis as i64).collect();
    let truth = call.to.cast(&own.name, own.element_type, ElementType::Bool);
    let number = call.to.cast(&truth, ElementType::Bool, ElementType::Int64);
    let result = reduced(call, "ReduceSum", &number, &(axes, 0));
    call.give(0, result);
    Ok(())
}

fn evaluate_count(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axes = evaluated_axes(eval, own.rank())?;
    let truth = elementwise::cast(&own, ElementType::Bool)?;
    one(reduce::sum(&elementwise::cast(&truth, ElementType::Int64)?, Over::axes(&axes)))
}
