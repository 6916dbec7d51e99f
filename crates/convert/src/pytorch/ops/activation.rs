//! Activations.

use super::unary::{evaluate, floats, give};
use super::{Convert, Evaluate, Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::{activations, elementwise, shape};

/// An activation without parameters.
macro_rules! plain {
    ($name:literal, $convert:expr, $function:expr) => {
        operator(
            $name,
            "self",
            (|call| give(call, $convert)) as Convert,
            (|eval| evaluate(eval, $function)) as Evaluate,
        )
    };
}

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.relu.default", "self", convert_relu, evaluate_relu),
    operator("aten.relu6.default", "self", convert_hardtanh, evaluate_hardtanh),
    operator("aten.hardtanh.default", "self min_val max_val", convert_hardtanh, evaluate_hardtanh),
    plain!(
        "aten.hardswish.default",
        |call, own| emit(call, "HardSwish", own),
        activations::hard_swish
    ),
    plain!("aten.hardsigmoid.default", hard_sigmoid, |value| {
        activations::hard_sigmoid(value, 1.0 / 6.0, 0.5)
    }),
    plain!("aten.silu.default", silu, activations::silu),
    plain!("aten.mish.default", |call, own| emit(call, "Mish", own), activations::mish),
    plain!("aten.selu.default", |call, own| emit(call, "Selu", own), activations::selu),
    plain!("aten.softsign.default", |call, own| emit(call, "Softsign", own), activations::softsign),
    plain!("aten.log_sigmoid.default", log_sigmoid, |value| -activations::softplus(-value)),
    operator("aten.gelu.default", "self approximate", convert_gelu, evaluate_gelu),
    operator("aten.elu.default", "self alpha scale input_scale", convert_elu, evaluate_elu),
    operator("aten.celu.default", "self alpha", convert_celu, evaluate_celu),
    operator("aten.leaky_relu.default", "self negative_slope", convert_leaky, evaluate_leaky),
    operator("aten.prelu.default", "self weight", convert_prelu, evaluate_prelu),
    operator("aten._prelu_kernel.default", "self weight", convert_prelu, evaluate_prelu),
    operator("aten.softplus.default", "self beta threshold", convert_softplus, evaluate_softplus),
    operator("aten.glu.default", "self dim", convert_glu, evaluate_glu),
    operator("aten.softshrink.default", "self lambd", convert_shrink, evaluate_shrink),
    operator("aten.hardshrink.default", "self lambd", convert_shrink, evaluate_shrink),
    operator(
        "aten.threshold.default",
        "self threshold value",
        convert_threshold,
        evaluate_threshold,
    ),
    operator("aten.logit.default", "self eps", convert_logit, evaluate_logit),
];

fn emit(call: &mut Call<'_, '_>, op_type: &str, own: &Tensor) -> String {
    call.to.emit(op_type, &[&own.name])
}

fn convert_relu(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let wide = super::operands::calculated(own.element_type);
    let value = call.to.cast(&own.name, own.element_type, wide);
    let result = call.to.emit("Relu", &[&value]);
    call.give_as(0, &result, wide)
}

fn evaluate_relu(eval: &mut Eval<'_, '_>) -> Outcome {
    one(elementwise::clamp(&*eval.tensor("self")?, 0.0, f64::INFINITY))
}

/// The bounds of `hardtanh`; those of `relu6` are fixed.
const RELU6: (f64, f64) = (0.0, 6.0);

fn convert_hardtanh(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (low, high) = match call.operator() {
        "relu6" => RELU6,
        _ => (call.float_or("min_val", -1.0)?, call.float_or("max_val", 1.0)?),
    };
    let (low, high) = (call.to.float(low, own.element_type), call.to.float(high, own.element_type));
    let result = call.to.emit("Clip", &[&own.name, &low, &high]);
    call.give_as(0, &result, own.element_type)
}

fn evaluate_hardtanh(eval: &mut Eval<'_, '_>) -> Outcome {
    let (low, high) = match eval.operator() {
        "relu6" => RELU6,
        _ => (eval.float_or("min_val", -1.0)?, eval.float_or("max_val", 1.0)?),
    };
    one(elementwise::clamp(&*eval.tensor("self")?, low, high))
}

fn hard_sigmoid(call: &mut Call<'_, '_>, own: &Tensor) -> String {
    let alpha = 1.0f32 / 6.0;
    call.to.emit_node(node("HardSigmoid", &[&own.name]).with("alpha", alpha).with("beta", 0.5f32))
}

fn silu(call: &mut Call<'_, '_>, own: &Tensor) -> String {
    let gate = call.to.emit("Sigmoid", &[&own.name]);
    call.to.emit("Mul", &[&own.name, &gate])
}

fn log_sigmoid(call: &mut Call<'_, '_>, own: &Tensor) -> String {
    let negated = call.to.emit("Neg", &[&own.name]);
    let positive = call.to.emit("Softplus", &[&negated]);
    call.to.emit("Neg", &[&positive])
}

fn convert_gelu(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let approximate = call.text_or("approximate", "none")?;
    give(call, |call, own| {
        let kind = own.element_type;
        let inner = match approximate.as_str() {
            "tanh" => {
                let cube = {
                    let square = call.to.emit("Mul", &[&own.name, &own.name]);
                    call.to.emit("Mul", &[&square, &own.name])
                };
                let factor = call.to.float(0.044_715, kind);
                let bent = call.to.emit("Mul", &[&cube, &factor]);
                let sum = call.to.emit("Add", &[&own.name, &bent]);
                let scale = call.to.float((2.0 / std::f64::consts::PI).sqrt(), kind);
                let scaled = call.to.emit("Mul", &[&sum, &scale]);
                call.to.emit("Tanh", &[&scaled])
            }
            _ => {
                let root = call.to.float(std::f64::consts::SQRT_2, kind);
                let scaled = call.to.emit("Div", &[&own.name, &root]);
                call.to.emit("Erf", &[&scaled])
            }
        };
        let unit = call.to.float(1.0, kind);
        let gate = call.to.emit("Add", &[&inner, &unit]);
        let gated = call.to.emit("Mul", &[&own.name, &gate]);
        let half = call.to.float(0.5, kind);
        call.to.emit("Mul", &[&gated, &half])
    })
}

fn evaluate_gelu(eval: &mut Eval<'_, '_>) -> Outcome {
    match eval.text_or("approximate", "none")?.as_str() {
        "tanh" => evaluate(eval, activations::gelu_tanh),
        _ => evaluate(eval, activations::gelu),
    }
}

/// `scale * x` above 0, `scale * alpha * (exp(input_scale * x) - 1)` below.
fn convert_elu(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let alpha = call.float_or("alpha", 1.0)?;
    let (scale, input_scale) = (call.float_or("scale", 1.0)?, call.float_or("input_scale", 1.0)?);
    if input_scale != 1.0 {
        return Err(Refusal::new(
            format!("input_scale {input_scale}"),
            "scale before the operator",
        ));
    }
    give(call, |call, own| {
        let bent = call.to.emit_node(node("Elu", &[&own.name]).with("alpha", alpha as f32));
        if scale == 1.0 {
            return bent;
        }
        let scale = call.to.float(scale, own.element_type);
        call.to.emit("Mul", &[&bent, &scale])
    })
}

fn evaluate_elu(eval: &mut Eval<'_, '_>) -> Outcome {
    let alpha = eval.float_or("alpha", 1.0)?;
    let (scale, input_scale) = (eval.float_or("scale", 1.0)?, eval.float_or("input_scale", 1.0)?);
    evaluate(eval, |value| match value > 0.0 {
        true => scale * value,
        false => scale * alpha * (value * input_scale).exp_m1(),
    })
}

fn convert_celu(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let alpha = call.float_or("alpha", 1.0)?;
    give(call, |call, own| {
        call.to.emit_node(node("Celu", &[&own.name]).with("alpha", alpha as f32))
    })
}

fn evaluate_celu(eval: &mut Eval<'_, '_>) -> Outcome {
    let alpha = eval.float_or("alpha", 1.0)?;
    evaluate(eval, |value| activations::celu(value, alpha))
}

fn convert_leaky(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let slope = call.float_or("negative_slope", 0.01)?;
    give(call, |call, own| {
        call.to.emit_node(node("LeakyRelu", &[&own.name]).with("alpha", slope as f32))
    })
}

fn evaluate_leaky(eval: &mut Eval<'_, '_>) -> Outcome {
    let slope = eval.float_or("negative_slope", 0.01)?;
    evaluate(eval, |value| activations::leaky_relu(value, slope))
}

/// The slopes are one for all, or one a channel (the second axis).
fn convert_prelu(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, weight) = (call.tensor("self")?, call.tensor("weight")?);
    let is_single = weight.sizes.iter().all(|size| size.known() == Some(1));
    let behind = own.rank().saturating_sub(2);
    let slope = if weight.rank() == 1 && !is_single && behind > 0 {
        let axes: Vec<i64> = (1..=behind as i64).collect();
        call.to.unsqueeze(&weight.name, &axes)
    } else {
        weight.name
    };
    let result = call.to.emit("PRelu", &[&own.name, &slope]);
    call.give(0, result);
    Ok(())
}

fn evaluate_prelu(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, weight) = (eval.tensor("self")?, eval.tensor("weight")?);
    let slope = if weight.rank() == 1 && weight.len() > 1 {
        let mut dims = vec![1; own.rank()];
        if let Some(channels) = dims.get_mut(1) {
            *channels = weight.len();
        }
        if own.rank() < 2 {
            weight.as_ref().clone()
        } else {
            weight.as_ref().clone().reshaped(&dims)?
        }
    } else {
        weight.as_ref().clone()
    };
    one(elementwise::zip_floats(
        &own,
        &slope,
        |value, slope| {
            if value > 0.0 { value } else { slope * value }
        },
    ))
}

/// `ln(1 + exp(beta * x)) / beta`; linear where `beta * x` is beyond the threshold, which is the
/// same to the precision of floats unless the threshold is small.
fn convert_softplus(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (beta, threshold) = (call.float_or("beta", 1.0)?, call.float_or("threshold", 20.0)?);
    give(call, |call, own| {
        let kind = own.element_type;
        let factor = call.to.float(beta, kind);
        let scaled = match beta == 1.0 {
            true => own.name.clone(),
            false => call.to.emit("Mul", &[&own.name, &factor]),
        };
        let soft = call.to.emit("Softplus", &[&scaled]);
        let soft = match beta == 1.0 {
            true => soft,
            false => call.to.emit("Div", &[&soft, &factor]),
        };
        if threshold >= 15.0 {
            return soft;
        }
        let threshold = call.to.float(threshold, kind);
        let linear = call.to.emit("Greater", &[&scaled, &threshold]);
        call.to.emit("Where", &[&linear, &own.name, &soft])
    })
}

fn evaluate_softplus(eval: &mut Eval<'_, '_>) -> Outcome {
    let (beta, threshold) = (eval.float_or("beta", 1.0)?, eval.float_or("threshold", 20.0)?);
    evaluate(eval, |value| match value * beta > threshold {
        true => value,
        false => (value * beta).exp().ln_1p() / beta,
    })
}

/// The first half of an axis, gated by the sigmoid of the second.
fn convert_glu(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), -1)?;
    let Some(size) = own.sizes.get(axis).and_then(|size| size.known()) else {
        return Err(Refusal::new("an axis of unknown size", "export it with a fixed size"));
    };
    let (zero, half) = (Extent::Known(0), Extent::Known(size / 2));
    let first = call.to.slice(&own.name, axis, &zero, &half, 1);
    let second = call.to.slice(&own.name, axis, &half, &Extent::Known(size), 1);
    let gate = call.to.emit("Sigmoid", &[&second]);
    let result = call.to.emit("Mul", &[&first, &gate]);
    call.give(0, result);
    Ok(())
}

fn evaluate_glu(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let axis = eval.axis("dim", own.rank(), -1)?;
    let half = own.dims().get(axis).copied().unwrap_or(0) / 2;
    let first = shape::narrow(&own, axis as i64, 0, half)?;
    let second = shape::narrow(&own, axis as i64, half, half)?;
    one(elementwise::mul(&first, &elementwise::map(&second, activations::sigmoid)?))
}

fn convert_shrink(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let lambd = call.float_or("lambd", 0.5)?;
    let bias = if call.operator() == "softshrink" { lambd } else { 0.0 };
    give(call, |call, own| {
        let shrink = node("Shrink", &[&own.name]);
        call.to.emit_node(shrink.with("lambd", lambd as f32).with("bias", bias as f32))
    })
}

fn evaluate_shrink(eval: &mut Eval<'_, '_>) -> Outcome {
    let lambd = eval.float_or("lambd", 0.5)?;
    match eval.operator() {
        "softshrink" => evaluate(eval, |value| activations::soft_shrink(value, lambd)),
        _ => evaluate(eval, |value| activations::hard_shrink(value, lambd)),
    }
}

fn convert_threshold(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (threshold, value) = (call.float_or("threshold", 0.0)?, call.float_or("value", 0.0)?);
    let threshold = call.to.float(threshold, own.element_type);
    let value = call.to.float(value, own.element_type);
    let above = call.to.emit("Greater", &[&own.name, &threshold]);
    let result = call.to.emit("Where", &[&above, &own.name, &value]);
    call.give(0, result);
    Ok(())
}

fn evaluate_threshold(eval: &mut Eval<'_, '_>) -> Outcome {
    let (threshold, instead) = (eval.float_or("threshold", 0.0)?, eval.float_or("value", 0.0)?);
    let own = eval.tensor("self")?;
    one(elementwise::map(&own, |value| if value > threshold { value } else { instead }))
}

/// `ln(x / (1 - x))`, with `x` kept `eps` away from 0 and 1.
fn convert_logit(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let eps = call.scalar("eps")?.map(|eps| eps.as_f64());
    give(call, |call, own| {
        let kind = own.element_type;
        let value = match eps {
            Some(eps) => {
                let (low, high) = (call.to.float(eps, kind), call.to.float(1.0 - eps, kind));
                call.to.emit("Clip", &[&own.name, &low, &high])
            }
            None => own.name.clone(),
        };
        let unit = call.to.float(1.0, kind);
        let rest = call.to.emit("Sub", &[&unit, &value]);
        let odds = call.to.emit("Div", &[&value, &rest]);
        call.to.emit("Log", &[&odds])
    })
}

fn evaluate_logit(eval: &mut Eval<'_, '_>) -> Outcome {
    let eps = if eval.has("eps") { Some(eval.float_or("eps", 0.0)?) } else { None };
    let own = floats(eval)?;
    one(elementwise::map(&own, |value| {
        let value = eps.map_or(value, |eps| value.clamp(eps.min(0.5), (1.0 - eps).max(0.5)));
        (value / (1.0 - value)).ln()
    }))
}
