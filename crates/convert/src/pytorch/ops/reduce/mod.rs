//! Reductions: many elements become one.

mod places;
mod spread;

use modelyard_graph::ElementType;

use super::operands::calculated;
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::types::{Kind, kind};
use crate::reference::elementwise;
use crate::reference::reduce::{self, Over};

use places::{
    convert_aminmax, convert_place, convert_with_places, evaluate_aminmax, evaluate_place,
    evaluate_with_places,
};
use spread::{convert_norm, convert_variance, evaluate_norm, evaluate_variance};

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
