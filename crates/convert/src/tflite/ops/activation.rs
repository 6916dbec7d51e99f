//! Activations: RELU and its kin, LOGISTIC, TANH, ELU, GELU, HARD_SWISH, LEAKY_RELU.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::{Operator, Quantization};
use super::super::quantization::Multiplier;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::activations::gelu_tanh;
use crate::reference::elementwise::map;

/// √2, whose inverse is in the exact GELU.
const ROOT_OF_TWO: f32 = std::f32::consts::SQRT_2;
/// √(2/π), of the approximation of GELU by tanh.
const GELU_SCALE: f32 = 0.797_884_6;
/// The cubic term of that.
const GELU_CUBIC: f32 = 0.044_715;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.real(op.input(0)?)?;
    let y = match op.kind.as_str() {
        "RELU" => cx.emitter.add(node("Relu", &[x])),
        "RELU6" => cx.clipped(&x, 0.0, 6.0),
        "RELU_N1_TO_1" => cx.clipped(&x, -1.0, 1.0),
        "RELU_0_TO_1" => cx.clipped(&x, 0.0, 1.0),
        "LOGISTIC" => cx.emitter.add(node("Sigmoid", &[x])),
        "TANH" => cx.emitter.add(node("Tanh", &[x])),
        "ELU" => cx.emitter.add(node("Elu", &[x]).with("alpha", 1f32)),
        "HARD_SWISH" => cx.emitter.add(node("HardSwish", &[x])),
        "LEAKY_RELU" => cx.emitter.add(node("LeakyRelu", &[x]).with("alpha", op.options.f32(0)?)),
        "GELU" => gelu(cx, &x, op.options.bool(0)?),
        _ => return Err(super::unknown(op)),
    };
    cx.give(op.output(0)?, y)
}

/// In operators that are older than ONNX's `Gelu`.
fn gelu(cx: &mut Converter<'_>, x: &str, approximate: bool) -> String {
    let emitter = &mut cx.emitter;
    let inner = if approximate {
        let cubic = emitter.scalar("cubic", GELU_CUBIC);
        let scale = emitter.scalar("scale", GELU_SCALE);
        let square = emitter.add(node("Mul", &[x, x]));
        let cube = emitter.add(node("Mul", &[&square, x]));
        let cube = emitter.add(node("Mul", &[&cube, &cubic]));
        let sum = emitter.add(node("Add", &[x, &cube]));
        let scaled = emitter.add(node("Mul", &[sum, scale]));
        emitter.add(node("Tanh", &[scaled]))
    } else {
        let root = emitter.scalar("root", ROOT_OF_TWO);
        let scaled = emitter.add(node("Div", &[x, &root]));
        emitter.add(node("Erf", &[scaled]))
    };
    let one = emitter.scalar("one", 1.0);
    let half = emitter.scalar("half", 0.5);
    let share = emitter.add(node("Add", &[inner, one]));
    let product = emitter.add(node("Mul", &[x, &share]));
    emitter.add(node("Mul", &[product, half]))
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let quantized = (cx.quantized(op.input(0)?), cx.quantized(op.output(0)?));
    if let (Some(from), Some(to)) = &quantized
        && op.kind == "LEAKY_RELU"
    {
        return leaky_integers(cx, op, from, to);
    }
    let x = cx.real(op.input(0)?)?;
    let clamped = |low: f64, high: f64| move |value: f64| value.max(low).min(high);
    let y = match op.kind.as_str() {
        "RELU" => map(&x, |value| value.max(0.0))?,
        "RELU6" => map(&x, clamped(0.0, 6.0))?,
        "RELU_N1_TO_1" => map(&x, clamped(-1.0, 1.0))?,
        "RELU_0_TO_1" => map(&x, clamped(0.0, 1.0))?,
        "LOGISTIC" => map(&x, |value| 1.0 / (1.0 + (-value).exp()))?,
        "TANH" => map(&x, f64::tanh)?,
        "ELU" => map(&x, |value| if value < 0.0 { value.exp_m1() } else { value })?,
        "HARD_SWISH" => map(&x, |value| value * (value + 3.0).clamp(0.0, 6.0) / 6.0)?,
        "LEAKY_RELU" => {
            let alpha = f64::from(op.options.f32(0)?);
            map(&x, |value| if value > 0.0 { value } else { value * alpha })?
        }
        "GELU" if op.options.bool(0)? => map(&x, gelu_tanh)?,
        "GELU" => map(&x, crate::reference::activations::gelu)?,
        kind => return Err(mismatch(format!("{kind} is not known"))),
    };
    cx.give_real(op.output(0)?, y)
}

/// `LEAKY_RELU` of integers: one multiplier for each sign. All other activations of integers are
/// tables of the real function.
fn leaky_integers(
    cx: &mut Evaluation<'_>,
    op: &Operator,
    from: &Quantization,
    to: &Quantization,
) -> Result<(), Stop> {
    let ((from_scale, from_zero), (scale, zero)) = (from.single()?, to.single()?);
    let alpha = f64::from(op.options.f32(0)?);
    let above = Multiplier::new(from_scale / scale);
    let below = Multiplier::new(from_scale * alpha / scale);
    let raw = cx.raw(op.input(0)?)?;
    let step = |&step: &i64| {
        let value = (step - from_zero) as i32;
        i64::from(if value >= 0 { above } else { below }.apply(value)) + zero
    };
    let steps = raw.as_ints()?.iter().map(step).collect();
    cx.give_steps(op.output(0)?, raw.dims(), steps)
}
