//! Sums, products, quotients, powers: element by element, broadcast, types promoted.

use modelyard_graph::ElementType;

use super::operands::{
    both, calculated, evaluated, evaluated_both, float_type, give_both, result_type, truncated,
    typed,
};
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Operand, Refusal, Scalar};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::types::is_float;
use crate::reference::elementwise;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.add.Tensor", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.add.Scalar", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.sub.Tensor", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.sub.Scalar", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.subtract.Tensor", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.rsub.Tensor", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.rsub.Scalar", "self other alpha", convert_sum, evaluate_sum),
    operator("aten.mul.Tensor", "self other", convert_mul, evaluate_mul),
    operator("aten.mul.Scalar", "self other", convert_mul, evaluate_mul),
    operator("aten.multiply.Tensor", "self other", convert_mul, evaluate_mul),
    operator("aten.div.Tensor", "self other", convert_div, evaluate_div),
    operator("aten.div.Scalar", "self other", convert_div, evaluate_div),
    operator("aten.divide.Tensor", "self other", convert_div, evaluate_div),
    operator("aten.true_divide.Tensor", "self other", convert_div, evaluate_div),
    operator("aten.div.Tensor_mode", "self other rounding_mode", convert_div, evaluate_div),
    operator("aten.div.Scalar_mode", "self other rounding_mode", convert_div, evaluate_div),
    operator("aten.floor_divide.default", "self other", convert_div, evaluate_div),
    operator("aten.floor_divide.Scalar", "self other", convert_div, evaluate_div),
    operator("aten.remainder.Tensor", "self other", convert_remainder, evaluate_remainder),
    operator("aten.remainder.Scalar", "self other", convert_remainder, evaluate_remainder),
    operator("aten.remainder.Scalar_Tensor", "self other", convert_remainder, evaluate_remainder),
    operator("aten.fmod.Tensor", "self other", convert_fmod, evaluate_fmod),
    operator("aten.fmod.Scalar", "self other", convert_fmod, evaluate_fmod),
    operator("aten.pow.Tensor_Tensor", "self exponent", convert_pow, evaluate_pow),
    operator("aten.pow.Tensor_Scalar", "self exponent", convert_pow, evaluate_pow),
    operator("aten.pow.Scalar", "self exponent", convert_pow, evaluate_pow),
    operator("aten.minimum.default", "self other", convert_min, evaluate_min),
    operator("aten.min.other", "self other", convert_min, evaluate_min),
    operator("aten.maximum.default", "self other", convert_max, evaluate_max),
    operator("aten.max.other", "self other", convert_max, evaluate_max),
    operator("aten.atan2.default", "self other", convert_atan2, evaluate_atan2),
    operator("aten.addcmul.default", "self tensor1 tensor2 value", convert_addc, evaluate_addc),
    operator("aten.addcdiv.default", "self tensor1 tensor2 value", convert_addc, evaluate_addc),
    operator("aten.lerp.Scalar", "self end weight", convert_lerp, evaluate_lerp),
    operator("aten.lerp.Tensor", "self end weight", convert_lerp, evaluate_lerp),
];

fn convert_sum(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (mut one, mut two, element_type) = both(call)?;
    let alpha = call.scalar("alpha")?.filter(|alpha| alpha.as_f64() != 1.0);
    if call.operator() == "rsub" {
        std::mem::swap(&mut one, &mut two);
    }
    if let Some(alpha) = alpha {
        // What is scaled is `other` of add and sub, and `self` of rsub: the second one here.
        let alpha = call.to.number(alpha, element_type);
        two = call.to.emit("Mul", &[&two, &alpha]);
    }
    let op_type = match (call.operator(), element_type) {
        ("add", ElementType::Bool) => "Or",
        ("add", _) => "Add",
        (_, ElementType::Bool) => {
            return Err(Refusal::new("a difference of booleans", "use logical_xor"));
        }
        _ => "Sub",
    };
    let result = call.to.emit(op_type, &[&one, &two]);
    call.give_as(0, &result, element_type)
}

fn evaluate_sum(eval: &mut Eval<'_, '_>) -> Outcome {
    let (mut a, mut b) = evaluated_both(eval)?;
    if eval.operator() == "rsub" {
        std::mem::swap(&mut a, &mut b);
    }
    if a.element_type() == ElementType::Bool {
        return one(elementwise::logical(&a, &b, |a, b| a || b));
    }
    if eval.has("alpha") {
        let alpha = eval.operand("alpha")?.array(b.element_type())?;
        b = elementwise::mul(&b, &alpha)?.into();
    }
    one(match eval.operator() {
        "add" => elementwise::add(&a, &b),
        _ => elementwise::sub(&a, &b),
    })
}

fn convert_mul(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    give_both(call, "Mul", Some("And"))
}

fn evaluate_mul(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    one(match a.element_type() {
        ElementType::Bool => elementwise::logical(&a, &b, |a, b| a && b),
        _ => elementwise::mul(&a, &b),
    })
}

/// How a quotient is rounded.
#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    None,
    Floor,
    Trunc,
}

fn rounding(operator: &str, mode: &str) -> Rounding {
    match (operator, mode) {
        ("floor_divide", _) | (_, "floor") => Rounding::Floor,
        (_, "trunc") => Rounding::Trunc,
        _ => Rounding::None,
    }
}

fn convert_div(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let rounding = rounding(call.operator(), &call.text_or("rounding_mode", "")?);
    let (one, two) = (call.operand("self")?, call.operand("other")?);
    let promoted = result_type(&[&one, &two]);
    let element_type = match rounding {
        Rounding::None => float_type(promoted),
        _ => calculated(promoted),
    };
    let (one, two) = (typed(call, &one, element_type), typed(call, &two, element_type));
    let result = match (rounding, is_float(element_type)) {
        (Rounding::None, _) | (Rounding::Trunc, false) => call.to.emit("Div", &[&one, &two]),
        (Rounding::Floor, true) => {
            let quotient = call.to.emit("Div", &[&one, &two]);
            call.to.emit("Floor", &[&quotient])
        }
        (Rounding::Trunc, true) => {
            let quotient = call.to.emit("Div", &[&one, &two]);
            truncated(call, &quotient, element_type)
        }
        (Rounding::Floor, false) => {
            // ONNX cuts quotients of integers off; what is left out first is the remainder with
            // the sign of the divisor.
            let rest = call.to.emit("Mod", &[&one, &two]);
            let even = call.to.emit("Sub", &[&one, &rest]);
            call.to.emit("Div", &[&even, &two])
        }
    };
    call.give_as(0, &result, element_type)
}

fn evaluate_div(eval: &mut Eval<'_, '_>) -> Outcome {
    let rounding = rounding(eval.operator(), &eval.text_or("rounding_mode", "")?);
    let (operands, promoted) = evaluated(eval, &["self", "other"])?;
    let element_type = if rounding == Rounding::None { float_type(promoted) } else { promoted };
    let (a, b) = (operands[0].array(element_type)?, operands[1].array(element_type)?);
    one(match rounding {
        Rounding::None => elementwise::div(&a, &b),
        Rounding::Floor => elementwise::floor_div(&a, &b),
        Rounding::Trunc if is_float(element_type) => {
            elementwise::zip_floats(&a, &b, |a, b| (a / b).trunc())
        }
        Rounding::Trunc => elementwise::div(&a, &b),
    })
}

fn convert_remainder(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two, element_type) = both(call)?;
    if !is_float(element_type) {
        let result = call.to.emit("Mod", &[&one, &two]);
        return call.give_as(0, &result, element_type);
    }
    let rest = call.to.emit_node(node("Mod", &[&one, &two]).with("fmod", 1i64));
    // A remainder with the other sign than the divisor is a divisor short.
    let zero = call.to.float(0.0, element_type);
    let signs = call.to.emit("Mul", &[&rest, &two]);
    let differ = call.to.emit("Less", &[&signs, &zero]);
    let more = call.to.emit("Add", &[&rest, &two]);
    let result = call.to.emit("Where", &[&differ, &more, &rest]);
    call.give_as(0, &result, element_type)
}

fn evaluate_remainder(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    one(elementwise::modulo(&a, &b))
}

fn convert_fmod(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two, element_type) = both(call)?;
    let result = call.to.emit_node(node("Mod", &[&one, &two]).with("fmod", 1i64));
    call.give_as(0, &result, element_type)
}

fn evaluate_fmod(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    one(elementwise::fmod(&a, &b))
}

fn convert_pow(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (base, exponent) = (call.operand("self")?, call.operand("exponent")?);
    let element_type = calculated(result_type(&[&base, &exponent]));
    let base = typed(call, &base, element_type);
    let simple = match &exponent {
        Operand::Number(exponent) => Some(exponent.as_f64()),
        _ => None,
    };
    let result = match simple {
        Some(1.0) => base,
        Some(2.0) => call.to.emit("Mul", &[&base, &base]),
        Some(0.5) => call.to.emit("Sqrt", &[&base]),
        Some(-1.0) if is_float(element_type) => call.to.emit("Reciprocal", &[&base]),
        Some(-0.5) => {
            let root = call.to.emit("Sqrt", &[&base]);
            call.to.emit("Reciprocal", &[&root])
        }
        Some(exponent) if exponent < 0.0 && !is_float(element_type) => {
            let way_out = "cast the base to a float first";
            return Err(Refusal::new("a negative power of integers", way_out));
        }
        _ => {
            let exponent = typed(call, &exponent, element_type);
            call.to.emit("Pow", &[&base, &exponent])
        }
    };
    call.give_as(0, &result, element_type)
}

fn evaluate_pow(eval: &mut Eval<'_, '_>) -> Outcome {
    let (operands, element_type) = evaluated(eval, &["self", "exponent"])?;
    one(elementwise::pow(&*operands[0].array(element_type)?, &*operands[1].array(element_type)?))
}

fn convert_min(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    give_both(call, "Min", Some("And"))
}

fn convert_max(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    give_both(call, "Max", Some("Or"))
}

fn evaluate_min(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    one(match a.element_type() {
        ElementType::Bool => elementwise::logical(&a, &b, |a, b| a && b),
        _ => elementwise::min(&a, &b),
    })
}

fn evaluate_max(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    one(match a.element_type() {
        ElementType::Bool => elementwise::logical(&a, &b, |a, b| a || b),
        _ => elementwise::max(&a, &b),
    })
}

/// The angle of (x, y), in all four quadrants: that of the quotient, half a turn further on the
/// left side.
fn convert_atan2(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (y, x, promoted) = both(call)?;
    let kind = float_type(promoted);
    let (y, x) = (call.to.cast(&y, promoted, kind), call.to.cast(&x, promoted, kind));
    let quotient = call.to.emit("Div", &[&y, &x]);
    let angle = call.to.emit("Atan", &[&quotient]);
    let zero = call.to.float(0.0, kind);
    let (pi, minus_pi) =
        (call.to.float(std::f64::consts::PI, kind), call.to.float(-std::f64::consts::PI, kind));
    let below = call.to.emit("Less", &[&y, &zero]);
    let half_turn = call.to.emit("Where", &[&below, &minus_pi, &pi]);
    let left = call.to.emit("Less", &[&x, &zero]);
    let turned = call.to.emit("Add", &[&angle, &half_turn]);
    let sided = call.to.emit("Where", &[&left, &turned, &angle]);
    let half = call.to.float(0.5, kind);
    let sign = call.to.emit("Sign", &[&y]);
    let quarter = call.to.emit("Mul", &[&pi, &half]);
    let upright = call.to.emit("Mul", &[&sign, &quarter]);
    let centre = call.to.emit("Equal", &[&x, &zero]);
    let result = call.to.emit("Where", &[&centre, &upright, &sided]);
    call.give_as(0, &result, kind)
}

fn evaluate_atan2(eval: &mut Eval<'_, '_>) -> Outcome {
    let (operands, promoted) = evaluated(eval, &["self", "other"])?;
    let kind = float_type(promoted);
    one(elementwise::zip_floats(&*operands[0].array(kind)?, &*operands[1].array(kind)?, f64::atan2))
}

/// `self + value * tensor1 * tensor2`, or `/ tensor2`.
fn convert_addc(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.operand("self")?;
    let (one, two) = (call.operand("tensor1")?, call.operand("tensor2")?);
    let element_type = calculated(result_type(&[&own, &one, &two]));
    let own = typed(call, &own, element_type);
    let (one, two) = (typed(call, &one, element_type), typed(call, &two, element_type));
    let op_type = if call.operator() == "addcmul" { "Mul" } else { "Div" };
    let mut more = call.to.emit(op_type, &[&one, &two]);
    let value = call.scalar("value")?.unwrap_or(Scalar::Int(1));
    if value.as_f64() != 1.0 {
        let value = call.to.number(value, element_type);
        more = call.to.emit("Mul", &[&more, &value]);
    }
    let result = call.to.emit("Add", &[&own, &more]);
    call.give_as(0, &result, element_type)
}

fn evaluate_addc(eval: &mut Eval<'_, '_>) -> Outcome {
    let (operands, element_type) = evaluated(eval, &["self", "tensor1", "tensor2"])?;
    let arrays: Result<Vec<_>, EvaluateError> =
        operands.iter().map(|operand| operand.array(element_type)).collect();
    let arrays = arrays?;
    let more = match eval.operator() {
        "addcmul" => elementwise::mul(&arrays[1], &arrays[2])?,
        _ => elementwise::div(&arrays[1], &arrays[2])?,
    };
    let more = match eval.has("value") {
        true => elementwise::mul(&more, &*eval.operand("value")?.array(element_type)?)?,
        false => more,
    };
    one(elementwise::add(&arrays[0], &more))
}

/// `self + weight * (end - self)`
fn convert_lerp(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (start, end, weight) =
        (call.operand("self")?, call.operand("end")?, call.operand("weight")?);
    let element_type = result_type(&[&start, &end]);
    let (start, end) = (typed(call, &start, element_type), typed(call, &end, element_type));
    let weight = typed(call, &weight, element_type);
    let apart = call.to.emit("Sub", &[&end, &start]);
    let step = call.to.emit("Mul", &[&weight, &apart]);
    let result = call.to.emit("Add", &[&start, &step]);
    call.give_as(0, &result, element_type)
}

fn evaluate_lerp(eval: &mut Eval<'_, '_>) -> Outcome {
    let (start, end) = (eval.tensor("self")?, eval.tensor("end")?);
    let weight = eval.operand("weight")?.array(start.element_type())?;
    let apart = elementwise::sub(&end, &start)?;
    one(elementwise::add(&start, &elementwise::mul(&weight, &apart)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_known() {
        assert!(rounding("floor_divide", "") == Rounding::Floor);
        assert!(rounding("div", "trunc") == Rounding::Trunc);
        assert!(rounding("div", "") == Rounding::None);
    }
}
