//! Comparisons, and what is done with truth values and bits.

use modelyard_graph::ElementType;

use super::operands::{both, calculated, evaluated_both};
use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal, Scalar};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::types::is_float;
use crate::reference::Array;
use crate::reference::elementwise::{self, Comparison};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.eq.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.eq.Scalar", "self other", convert_compare, evaluate_compare),
    operator("aten.ne.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.ne.Scalar", "self other", convert_compare, evaluate_compare),
    operator("aten.not_equal.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.lt.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.lt.Scalar", "self other", convert_compare, evaluate_compare),
    operator("aten.less.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.le.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.le.Scalar", "self other", convert_compare, evaluate_compare),
    operator("aten.less_equal.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.gt.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.gt.Scalar", "self other", convert_compare, evaluate_compare),
    operator("aten.greater.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.ge.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.ge.Scalar", "self other", convert_compare, evaluate_compare),
    operator("aten.greater_equal.Tensor", "self other", convert_compare, evaluate_compare),
    operator("aten.logical_and.default", "self other", convert_logical, evaluate_logical),
    operator("aten.logical_or.default", "self other", convert_logical, evaluate_logical),
    operator("aten.logical_xor.default", "self other", convert_logical, evaluate_logical),
    operator("aten.logical_not.default", "self", convert_not, evaluate_not),
    operator("aten.bitwise_and.Tensor", "self other", convert_bits, evaluate_bits),
    operator("aten.bitwise_and.Scalar", "self other", convert_bits, evaluate_bits),
    operator("aten.bitwise_or.Tensor", "self other", convert_bits, evaluate_bits),
    operator("aten.bitwise_or.Scalar", "self other", convert_bits, evaluate_bits),
    operator("aten.bitwise_xor.Tensor", "self other", convert_bits, evaluate_bits),
    operator("aten.bitwise_xor.Scalar", "self other", convert_bits, evaluate_bits),
    operator("aten.__and__.Tensor", "self other", convert_bits, evaluate_bits),
    operator("aten.__and__.Scalar", "self other", convert_bits, evaluate_bits),
    operator("aten.__or__.Tensor", "self other", convert_bits, evaluate_bits),
    operator("aten.__or__.Scalar", "self other", convert_bits, evaluate_bits),
    operator("aten.__xor__.Tensor", "self other", convert_bits, evaluate_bits),
    operator("aten.__xor__.Scalar", "self other", convert_bits, evaluate_bits),
    operator("aten.bitwise_not.default", "self", convert_bit_not, evaluate_bit_not),
    operator("aten.isnan.default", "self", convert_isnan, evaluate_isnan),
    operator("aten.isinf.default", "self", convert_isinf, evaluate_isinf),
    operator("aten.isfinite.default", "self", convert_isfinite, evaluate_isfinite),
];

fn comparison(operator: &str) -> Comparison {
    match operator {
        "eq" => Comparison::Equal,
        "ne" | "not_equal" => Comparison::NotEqual,
        "lt" | "less" => Comparison::Less,
        "le" | "less_equal" => Comparison::LessOrEqual,
        "gt" | "greater" => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    }
}

fn convert_compare(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (mut one, mut two, element_type) = both(call)?;
    let comparison = comparison(call.operator());
    let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if element_type == ElementType::Bool && !is_equality {
        // ONNX orders numbers only.
        one = call.to.cast(&one, element_type, ElementType::Int32);
        two = call.to.cast(&two, element_type, ElementType::Int32);
    }
    let (op_type, negated) = match comparison {
        Comparison::Equal => ("Equal", false),
        Comparison::NotEqual => ("Equal", true),
        Comparison::Less => ("Less", false),
        Comparison::LessOrEqual => ("LessOrEqual", false),
        Comparison::Greater => ("Greater", false),
        Comparison::GreaterOrEqual => ("GreaterOrEqual", false),
    };
    let found = call.to.emit(op_type, &[&one, &two]);
    let found = if negated { call.to.emit("Not", &[&found]) } else { found };
    call.give_as(0, &found, ElementType::Bool)
}

fn evaluate_compare(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    one(elementwise::compare(&a, &b, comparison(eval.operator())))
}

fn convert_logical(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let op_type = match call.operator() {
        "logical_and" => "And",
        "logical_or" => "Or",
        _ => "Xor",
    };
    let (one, two) = (call.tensor("self")?, call.tensor("other")?);
    let one = call.to.cast(&one.name, one.element_type, ElementType::Bool);
    let two = call.to.cast(&two.name, two.element_type, ElementType::Bool);
    let found = call.to.emit(op_type, &[&one, &two]);
    call.give_as(0, &found, ElementType::Bool)
}

fn evaluate_logical(eval: &mut Eval<'_, '_>) -> Outcome {
    let truth = |array: &Array| elementwise::cast(array, ElementType::Bool);
    let (a, b) = (truth(&*eval.tensor("self")?)?, truth(&*eval.tensor("other")?)?);
    one(match eval.operator() {
        "logical_and" => elementwise::logical(&a, &b, |a, b| a && b),
        "logical_or" => elementwise::logical(&a, &b, |a, b| a || b),
        _ => elementwise::logical(&a, &b, |a, b| a != b),
    })
}

fn convert_not(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let truth = call.to.cast(&own.name, own.element_type, ElementType::Bool);
    let found = call.to.emit("Not", &[&truth]);
    call.give_as(0, &found, ElementType::Bool)
}

fn evaluate_not(eval: &mut Eval<'_, '_>) -> Outcome {
    let truth = elementwise::cast(&*eval.tensor("self")?, ElementType::Bool)?;
    one(elementwise::not(&truth))
}

/// Which operation on bits it is: `bitwise_and` or `__and__`.
fn bits(operator: &str) -> &str {
    operator.trim_matches('_').trim_start_matches("bitwise_")
}

fn convert_bits(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two, element_type) = both(call)?;
    let op_type = match (bits(call.operator()), element_type) {
        ("and", ElementType::Bool) => "And",
        ("or", ElementType::Bool) => "Or",
        (_, ElementType::Bool) => "Xor",
        ("and", _) => "BitwiseAnd",
        ("or", _) => "BitwiseOr",
        _ => "BitwiseXor",
    };
    let found = call.to.emit(op_type, &[&one, &two]);
    call.give_as(0, &found, element_type)
}

fn evaluate_bits(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = evaluated_both(eval)?;
    let is_bool = a.element_type() == ElementType::Bool;
    one(match (bits(eval.operator()), is_bool) {
        ("and", true) => elementwise::logical(&a, &b, |a, b| a && b),
        ("or", true) => elementwise::logical(&a, &b, |a, b| a || b),
        (_, true) => elementwise::logical(&a, &b, |a, b| a != b),
        ("and", false) => elementwise::zip_ints(&a, &b, |a, b| a & b),
        ("or", false) => elementwise::zip_ints(&a, &b, |a, b| a | b),
        _ => elementwise::zip_ints(&a, &b, |a, b| a ^ b),
    })
}

fn convert_bit_not(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    if own.element_type == ElementType::Bool {
        let found = call.to.emit("Not", &[&own.name]);
        return call.give_as(0, &found, ElementType::Bool);
    }
    let element_type = calculated(own.element_type);
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let found = call.to.emit("BitwiseNot", &[&value]);
    call.give_as(0, &found, element_type)
}

fn evaluate_bit_not(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    one(match own.element_type() {
        ElementType::Bool => elementwise::not(&own),
        _ => elementwise::map_ints(&own, |value| !value),
    })
}

/// Gives a test of floats; integers are all finite.
fn give_test(
    call: &mut Call<'_, '_>,
    of_integers: bool,
    test: impl Fn(&mut Call<'_, '_>, &str) -> String,
) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    if is_float(own.element_type) {
        let found = test(call, &own.name);
        return call.give_as(0, &found, ElementType::Bool);
    }
    let extents = call.to.sizes(&own);
    let found = call.to.filled(&extents, Scalar::Bool(of_integers), ElementType::Bool);
    call.give_as(0, &found, ElementType::Bool)
}

fn convert_isnan(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    give_test(call, false, |call, name| call.to.emit("IsNaN", &[name]))
}

fn convert_isinf(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    give_test(call, false, |call, name| call.to.emit("IsInf", &[name]))
}

fn convert_isfinite(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    give_test(call, true, |call, name| {
        let (nan, infinite) = (call.to.emit("IsNaN", &[name]), call.to.emit("IsInf", &[name]));
        let either = call.to.emit_node(node("Or", &[nan, infinite]));
        call.to.emit("Not", &[&either])
    })
}

fn evaluate_isnan(eval: &mut Eval<'_, '_>) -> Outcome {
    one(elementwise::test(&*eval.tensor("self")?, f64::is_nan))
}

fn evaluate_isinf(eval: &mut Eval<'_, '_>) -> Outcome {
    one(elementwise::test(&*eval.tensor("self")?, f64::is_infinite))
}

fn evaluate_isfinite(eval: &mut Eval<'_, '_>) -> Outcome {
    one(elementwise::test(&*eval.tensor("self")?, f64::is_finite))
}
