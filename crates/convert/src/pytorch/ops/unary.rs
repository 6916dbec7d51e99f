//! Functions of one element.

use super::operands::{calculated, float_type, truncated};
use super::{Convert, Evaluate, Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::types::is_float;
use crate::reference::activations::{self, erf};
use crate::reference::{Array, elementwise};

/// A function of floats that is one node: integers become floats first.
macro_rules! simple {
    ($name:literal, $op_type:literal, $function:expr) => {
        operator(
            $name,
            "self",
            (|call| give(call, |call, own| call.to.emit($op_type, &[&own.name]))) as Convert,
            (|eval| evaluate(eval, $function)) as Evaluate,
        )
    };
}

/// A function of floats that is several nodes.
macro_rules! composed {
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
    simple!("aten.exp.default", "Exp", f64::exp),
    simple!("aten.log.default", "Log", f64::ln),
    simple!("aten.sqrt.default", "Sqrt", f64::sqrt),
    simple!("aten.reciprocal.default", "Reciprocal", f64::recip),
    simple!("aten.sin.default", "Sin", f64::sin),
    simple!("aten.cos.default", "Cos", f64::cos),
    simple!("aten.tan.default", "Tan", f64::tan),
    simple!("aten.asin.default", "Asin", f64::asin),
    simple!("aten.acos.default", "Acos", f64::acos),
    simple!("aten.atan.default", "Atan", f64::atan),
    simple!("aten.sinh.default", "Sinh", f64::sinh),
    simple!("aten.cosh.default", "Cosh", f64::cosh),
    simple!("aten.asinh.default", "Asinh", f64::asinh),
    simple!("aten.acosh.default", "Acosh", f64::acosh),
    simple!("aten.atanh.default", "Atanh", f64::atanh),
    simple!("aten.tanh.default", "Tanh", f64::tanh),
    simple!("aten.sigmoid.default", "Sigmoid", activations::sigmoid),
    simple!("aten.erf.default", "Erf", erf),
    composed!("aten.erfc.default", |call, own| one_less(call, own, "Erf"), |value| 1.0
        - erf(value)),
    composed!(
        "aten.rsqrt.default",
        |call, own| {
            let root = call.to.emit("Sqrt", &[&own.name]);
            call.to.emit("Reciprocal", &[&root])
        },
        |value| value.sqrt().recip()
    ),
    composed!(
        "aten.expm1.default",
        |call, own| {
            let power = call.to.emit("Exp", &[&own.name]);
            let one = call.to.float(1.0, own.element_type);
            call.to.emit("Sub", &[&power, &one])
        },
        f64::exp_m1
    ),
    composed!(
        "aten.log1p.default",
        |call, own| {
            let one = call.to.float(1.0, own.element_type);
            let more = call.to.emit("Add", &[&own.name, &one]);
            call.to.emit("Log", &[&more])
        },
        f64::ln_1p
    ),
    composed!(
        "aten.exp2.default",
        |call, own| {
            let base = call.to.float(2.0, own.element_type);
            call.to.emit("Pow", &[&base, &own.name])
        },
        f64::exp2
    ),
    composed!(
        "aten.log2.default",
        |call, own| logarithm(call, own, std::f64::consts::LN_2),
        f64::log2
    ),
    composed!(
        "aten.log10.default",
        |call, own| logarithm(call, own, std::f64::consts::LN_10),
        f64::log10
    ),
    operator("aten.neg.default", "self", convert_number, evaluate_number),
    operator("aten.negative.default", "self", convert_number, evaluate_number),
    operator("aten.abs.default", "self", convert_number, evaluate_number),
    operator("aten.sign.default", "self", convert_number, evaluate_number),
    operator("aten.sgn.default", "self", convert_number, evaluate_number),
    operator("aten.square.default", "self", convert_number, evaluate_number),
    operator("aten.positive.default", "self", convert_number, evaluate_number),
    operator("aten.ceil.default", "self", convert_round, evaluate_round),
    operator("aten.floor.default", "self", convert_round, evaluate_round),
    operator("aten.round.default", "self", convert_round, evaluate_round),
    operator("aten.trunc.default", "self", convert_round, evaluate_round),
    operator("aten.fix.default", "self", convert_round, evaluate_round),
    operator("aten.frac.default", "self", convert_frac, evaluate_frac),
    operator("aten.round.decimals", "self decimals", convert_decimals, evaluate_decimals),
];

/// Gives a function of `self` as a float.
pub(super) fn give(
    call: &mut Call<'_, '_>,
    function: impl FnOnce(&mut Call<'_, '_>, &Tensor) -> String,
) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let element_type = float_type(own.element_type);
    let name = call.to.cast(&own.name, own.element_type, element_type);
    let own = Tensor { name, element_type, ..own };
    let result = function(call, &own);
    call.give_as(0, &result, element_type)
}

/// A function of `self` as a float.
pub(super) fn evaluate(eval: &mut Eval<'_, '_>, function: impl Fn(f64) -> f64) -> Outcome {
    one(elementwise::map(&floats(eval)?, function))
}

/// `self` as floats.
pub(super) fn floats(eval: &mut Eval<'_, '_>) -> Result<Array, EvaluateError> {
    let own = eval.tensor("self")?;
    elementwise::cast(&own, float_type(own.element_type()))
}

fn one_less(call: &mut Call<'_, '_>, own: &Tensor, op_type: &str) -> String {
    let value = call.to.emit(op_type, &[&own.name]);
    let one = call.to.float(1.0, own.element_type);
    call.to.emit("Sub", &[&one, &value])
}

fn logarithm(call: &mut Call<'_, '_>, own: &Tensor, base: f64) -> String {
    let natural = call.to.emit("Log", &[&own.name]);
    let scale = call.to.float(base.recip(), own.element_type);
    call.to.emit("Mul", &[&natural, &scale])
}

/// Functions that keep integers.
fn convert_number(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let element_type = calculated(own.element_type);
    let name = call.to.cast(&own.name, own.element_type, element_type);
    let result = match call.operator() {
        "neg" | "negative" => call.to.emit("Neg", &[&name]),
        "abs" => call.to.emit("Abs", &[&name]),
        "sign" | "sgn" => call.to.emit("Sign", &[&name]),
        "square" => call.to.emit("Mul", &[&name, &name]),
        _ => name,
    };
    call.give_as(0, &result, element_type)
}

fn evaluate_number(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    one(match eval.operator() {
        "neg" | "negative" => elementwise::neg(&own),
        "abs" => elementwise::abs(&own),
        "sign" | "sgn" => elementwise::sign(&own),
        "square" => elementwise::mul(&own, &own),
        _ => Ok(own.as_ref().clone()),
    })
}

fn convert_round(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    if !is_float(own.element_type) {
        call.give(0, own.name);
        return Ok(());
    }
    let result = match call.operator() {
        "ceil" => call.to.emit("Ceil", &[&own.name]),
        "floor" => call.to.emit("Floor", &[&own.name]),
        // Halves to the even one, as in PyTorch.
        "round" => call.to.emit("Round", &[&own.name]),
        _ => truncated(call, &own.name, own.element_type),
    };
    call.give(0, result);
    Ok(())
}

fn evaluate_round(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    if !is_float(own.element_type()) {
        return Ok(vec![own.as_ref().clone().into()]);
    }
    one(match eval.operator() {
        "ceil" => elementwise::map(&own, f64::ceil),
        "floor" => elementwise::map(&own, f64::floor),
        "round" => elementwise::round_half_even(&own),
        _ => elementwise::map(&own, f64::trunc),
    })
}

fn convert_frac(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let whole = truncated(call, &own.name, own.element_type);
    let result = call.to.emit_node(node("Sub", &[own.name, whole]));
    call.give(0, result);
    Ok(())
}

fn evaluate_frac(eval: &mut Eval<'_, '_>) -> Outcome {
    one(elementwise::map(&*eval.tensor("self")?, f64::fract))
}

fn convert_decimals(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let decimals = call.int_or("decimals", 0)?;
    let scale = call.to.float(10f64.powi(decimals as i32), own.element_type);
    let scaled = call.to.emit("Mul", &[&own.name, &scale]);
    let rounded = call.to.emit("Round", &[&scaled]);
    let result = call.to.emit("Div", &[&rounded, &scale]);
    call.give(0, result);
    Ok(())
}

fn evaluate_decimals(eval: &mut Eval<'_, '_>) -> Outcome {
    let scale = 10f64.powi(eval.int_or("decimals", 0)? as i32);
    let own = eval.tensor("self")?;
    let rounded = elementwise::map(&own, |value| (value * scale).round_ties_even() / scale);
    one(rounded)
}
