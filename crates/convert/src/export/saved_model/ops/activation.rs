//! Activations, where TensorFlow has them, and what they are made of where not.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written, is_float};
use crate::export::saved_model::constant;
use crate::export::saved_model::op::Op;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

type Formed = Result<Tensor, Refusal>;

pub(super) fn leaky_relu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let op = Op::new("LeakyRelu").input(&x).kind("T", x.element_type);
    let op = op.float("alpha", call.float("alpha", 0.01) as f32);
    Ok(vec![writer.add(op, x.element_type)])
}

pub(super) fn prelu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, slope) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let zero = writer.number("zero", 0.0, x.element_type)?;
    let sloped = writer.binary("Mul", &x, &slope);
    let is_negative = writer.compare("Less", &x, &zero);
    Ok(vec![writer.select(&is_negative, &sloped, &x)])
}

pub(super) fn thresholded_relu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let alpha = writer.number("alpha", call.float("alpha", 1.0), x.element_type)?;
    let zero = writer.number("zero", 0.0, x.element_type)?;
    let is_above = writer.compare("Greater", &x, &alpha);
    Ok(vec![writer.select(&is_above, &x, &zero)])
}

/// `factor * (exp(x / scale) - 1)` below 0, `gain * x` above.
fn exponential(writer: &mut Writer, x: &Tensor, (factor, scale, gain): (f64, f64, f64)) -> Formed {
    let zero = writer.number("zero", 0.0, x.element_type)?;
    let low = writer.binary("Minimum", x, &zero);
    let low = if scale == 1.0 { low } else { writer.with_number("RealDiv", &low, scale)? };
    let low = writer.unary("Expm1", &low);
    let low = writer.with_number("Mul", &low, factor)?;
    let high = if gain == 1.0 { x.clone() } else { writer.with_number("Mul", x, gain)? };
    let is_positive = writer.compare("Greater", x, &zero);
    Ok(writer.select(&is_positive, &high, &low))
}

pub(super) fn elu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let alpha = call.float("alpha", 1.0);
    Ok(vec![match alpha {
        1.0 => writer.unary("Elu", &x),
        alpha => exponential(writer, &x, (alpha, 1.0, 1.0))?,
    }])
}

pub(super) fn celu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let alpha = call.float("alpha", 1.0);
    Ok(vec![exponential(writer, &x, (alpha, alpha, 1.0))?])
}

pub(super) fn selu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (alpha, gamma) = (call.float("alpha", 1.673_263_2), call.float("gamma", 1.050_701));
    Ok(vec![exponential(writer, &x, (alpha * gamma, 1.0, gamma))?])
}

/// `min(1, max(0, alpha * x + beta))`.
fn hard(writer: &mut Writer, x: &Tensor, (alpha, beta): (f64, f64)) -> Formed {
    let line = writer.with_number("Mul", x, alpha)?;
    let line = writer.with_number("AddV2", &line, beta)?;
    let high = writer.with_number("Minimum", &line, 1.0)?;
    writer.with_number("Maximum", &high, 0.0)
}

pub(super) fn hard_sigmoid(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (alpha, beta) = (call.float("alpha", 0.2), call.float("beta", 0.5));
    Ok(vec![hard(writer, &x, (alpha, beta))?])
}

pub(super) fn hard_swish(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let three = writer.with_number("AddV2", &x, 3.0)?;
    let gate = writer.unary("Relu6", &three);
    let gate = writer.with_number("Mul", &gate, 1.0 / 6.0)?;
    Ok(vec![writer.binary("Mul", &x, &gate)])
}

pub(super) fn mish(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let soft = writer.unary("Softplus", &x);
    let gate = writer.unary("Tanh", &soft);
    Ok(vec![writer.binary("Mul", &x, &gate)])
}

pub(super) fn gelu(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let bent = match call.text("approximate", "none") {
        "tanh" => {
            let square = writer.unary("Square", &x);
            let cube = writer.binary("Mul", &square, &x);
            let cube = writer.with_number("Mul", &cube, 0.044715)?;
            let sum = writer.binary("AddV2", &x, &cube);
            let scaled = writer.with_number("Mul", &sum, (2.0 / std::f64::consts::PI).sqrt())?;
            writer.unary("Tanh", &scaled)
        }
        _ => {
            let scaled = writer.with_number("Mul", &x, std::f64::consts::FRAC_1_SQRT_2)?;
            writer.unary("Erf", &scaled)
        }
    };
    let one = writer.with_number("AddV2", &bent, 1.0)?;
    let half = writer.with_number("Mul", &x, 0.5)?;
    Ok(vec![writer.binary("Mul", &half, &one)])
}

/// `x - bias` above `lambd`, `x + bias` below `-lambd`, 0 between.
pub(super) fn shrink(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (bias, lambd) = (call.float("bias", 0.0), call.float("lambd", 0.5));
    let high = writer.number("lambd", lambd, x.element_type)?;
    let low = writer.number("lambd", -lambd, x.element_type)?;
    let zero = writer.number("zero", 0.0, x.element_type)?;
    let is_high = writer.compare("Greater", &x, &high);
    let is_low = writer.compare("Less", &x, &low);
    let less = writer.with_number("Sub", &x, bias)?;
    let more = writer.with_number("AddV2", &x, bias)?;
    let found = writer.select(&is_low, &more, &zero);
    Ok(vec![writer.select(&is_high, &less, &found)])
}

pub(super) fn clip(writer: &mut Writer, call: &Call<'_>) -> Written {
    let mut x = call.tensor(writer, 0)?;
    let number = |index: usize| -> Option<f64> {
        let found = call.optional(index)?.constant()?;
        constant::numbers(found).ok()?.first().copied()
    };
    if number(1) == Some(0.0) && is_float(x.element_type) {
        if number(2) == Some(6.0) {
            return Ok(vec![writer.unary("Relu6", &x)]);
        }
        if call.optional(2).is_none() {
            return Ok(vec![writer.unary("Relu", &x)]);
        }
    }
    for (index, op) in [(1, "Maximum"), (2, "Minimum")] {
        if let Some(bound) = call.optional_tensor(writer, index)? {
            x = writer.binary(op, &x, &bound);
        }
    }
    Ok(vec![x])
}

/// Softmax and its logarithm.
pub(super) fn softmax(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let axis = call.axis("axis", -1)?;
    let is_last = axis + 1 == call.value(0)?.rank()?;
    let is_log = call.node.op_type == "LogSoftmax";
    if is_last {
        let op = Op::new(if is_log { "LogSoftmax" } else { "Softmax" });
        return Ok(vec![writer.add(op.input(&x).kind("T", x.element_type), x.element_type)]);
    }
    let most = writer.reduce("Max", &x, (&[axis], true))?;
    let shifted = writer.binary("Sub", &x, &most);
    let powers = writer.unary("Exp", &shifted);
    let sum = writer.reduce("Sum", &powers, (&[axis], true))?;
    Ok(vec![if is_log {
        let sum = writer.unary("Log", &sum);
        writer.binary("Sub", &shifted, &sum)
    } else {
        writer.binary("RealDiv", &powers, &sum)
    }])
}

/// 1 where an axis is the largest, for the first of those, 0 elsewhere.
pub(super) fn hardmax(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let axis = call.axis("axis", -1)?;
    let size = writer.size(value, axis)?;
    let depth = writer.scalar_size(&size, ElementType::Int32)?;
    let place = super::arg::place_of(writer, "ArgMax", &x, axis)?;
    let on = writer.number("on", 1.0, x.element_type)?;
    let off = writer.number("off", 0.0, x.element_type)?;
    let op = Op::new("OneHot").input(&place).input(&depth).input(&on).input(&off);
    let op = op.kind("T", x.element_type).kind("TI", place.element_type);
    let op = op.int("axis", axis as i64);
    Ok(vec![writer.add(op, x.element_type)])
}
