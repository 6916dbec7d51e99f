//! Variance, deviation and norms.

use modelyard_graph::ElementType;

use super::super::operands::float_type;
use super::{evaluated_axes, over, reduced};
use crate::pytorch::convert::{Call, Extent, Refusal, Scalar, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value, one};
use crate::reference::elementwise;
use crate::reference::reduce::{self, Over};

/// By how much the number of elements is less, where squares are averaged: 1 unless told.
pub(super) fn correction(call: &mut Call<'_, '_>) -> Result<f64, Refusal> {
    if call.has("correction") {
        return call.float_or("correction", 1.0);
    }
    Ok(f64::from(call.bool_or("unbiased", true)?))
}

/// Variance or deviation, and the mean where it is asked for.
pub(super) fn convert_variance(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
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

pub(super) fn evaluate_variance(eval: &mut Eval<'_, '_>) -> Outcome {
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
pub(super) fn convert_norm(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
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

pub(super) fn evaluate_norm(eval: &mut Eval<'_, '_>) -> Outcome {
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
