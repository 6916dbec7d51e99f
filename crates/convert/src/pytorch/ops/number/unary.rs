//! Functions of one number.

use modelyard_graph::ElementType;

use super::super::operands::typed;
use super::as_scalar;
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Operand, Refusal, Scalar};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::{Meta, Size};

/// Operations that give floats or truth values: on tensors without dimensions.
pub(super) fn convert_floats(
    call: &mut Call<'_, '_>,
    operation: &str,
    a: &Operand,
    b: &Operand,
) -> Result<(), Refusal> {
    let is_bool = matches!(operation, "and_" | "or_");
    let kind = if is_bool { ElementType::Bool } else { ElementType::Float32 };
    let (a, b) = (typed(call, a, kind), typed(call, b, kind));
    let op_type = match operation {
        "add" => "Add",
        "sub" => "Sub",
        "mul" => "Mul",
        "truediv" | "floordiv" => "Div",
        "pow" => "Pow",
        "sym_max" => "Max",
        "sym_min" => "Min",
        "and_" => "And",
        "or_" => "Or",
        "eq" | "ne" => "Equal",
        "lt" => "Less",
        "le" => "LessOrEqual",
        "gt" => "Greater",
        "ge" => "GreaterOrEqual",
        _ => return Err(Refusal::new("this operation on floats", "compute it on tensors")),
    };
    let result = call.to.emit_node(node(op_type, &[a, b]));
    let result = match operation {
        "floordiv" => call.to.emit("Floor", &[&result]),
        "ne" => call.to.emit("Not", &[&result]),
        _ => result,
    };
    call.give_number(0, result);
    Ok(())
}

pub(super) fn value(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Int(value) => Value::Int(value),
        Scalar::Float(value) => Value::Float(value),
        Scalar::Bool(value) => Value::Bool(value),
    }
}

fn calculate_one(operator: &str, a: Scalar) -> Option<Scalar> {
    Some(match (operator, a) {
        ("neg", Scalar::Int(a)) => Scalar::Int(a.checked_neg()?),
        ("neg", a) => Scalar::Float(-a.as_f64()),
        ("abs", Scalar::Int(a)) => Scalar::Int(a.checked_abs()?),
        ("abs", a) => Scalar::Float(a.as_f64().abs()),
        ("sym_not", a) => Scalar::Bool(a.as_f64() == 0.0),
        ("sym_float", a) => Scalar::Float(a.as_f64()),
        ("_sym_sqrt", a) => Scalar::Float(a.as_f64().sqrt()),
        (_, Scalar::Int(a)) => Scalar::Int(a),
        ("ceil", a) => Scalar::Int(a.as_f64().ceil() as i64),
        ("floor", a) => Scalar::Int(a.as_f64().floor() as i64),
        ("trunc" | "sym_int", a) => Scalar::Int(a.as_i64()),
        (_, a) => a,
    })
}

pub(super) fn convert_unary(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    if let Some(Meta::Int(Size::Known(value))) = call.output_meta(0) {
        call.give_extent(0, Extent::Known(*value));
        return Ok(());
    }
    let Some(argument) = call.positional().first().copied() else {
        return Err(Refusal::new("no operand", ""));
    };
    let operand = call.as_operand(argument)?;
    let operator = call.operator();
    match operand {
        Operand::Number(scalar) => {
            let value = calculate_one(operator, scalar);
            call.give_scalar(0, value.unwrap_or(scalar));
        }
        Operand::Extent(extent) => match operator {
            "neg" => {
                let negated = call.to.combine("Sub", &Extent::Known(0), &extent, |_, _| None);
                call.give_extent(0, negated);
            }
            "sym_float" => {
                let float = call.to.extent_number(&extent, ElementType::Float32);
                call.give_number(0, float);
            }
            "_sym_sqrt" => {
                let float = call.to.extent_number(&extent, ElementType::Float32);
                let root = call.to.emit("Sqrt", &[&float]);
                call.give_number(0, root);
            }
            _ => call.give_extent(0, extent),
        },
        Operand::Computed(tensor) | Operand::Tensor(tensor) => {
            let op_type = match operator {
                "neg" => "Neg",
                "abs" => "Abs",
                "sym_not" => "Not",
                "ceil" => "Ceil",
                "floor" => "Floor",
                _ => "Identity",
            };
            let result = call.to.emit(op_type, &[&tensor.name]);
            if matches!(operator, "ceil" | "floor" | "trunc" | "sym_int") {
                let long = call.to.cast(&result, tensor.element_type, ElementType::Int64);
                let one = call.to.ints(&[1]);
                let vector = call.to.emit("Reshape", &[&long, &one]);
                call.give_extent(0, Extent::Value(vector));
            } else {
                call.give_number(0, result);
            }
        }
    }
    Ok(())
}

pub(super) fn evaluate_unary(eval: &mut Eval<'_, '_>) -> Outcome {
    let values = eval.positional()?;
    let found = values.first().and_then(as_scalar).and_then(|a| calculate_one(eval.operator(), a));
    found.map(|scalar| vec![value(scalar)]).ok_or_else(|| EvaluateError::new("expected a number"))
}
