//! Numbers of Python that a program computes with: sizes of tensors, and what is made of them.

use modelyard_graph::ElementType;

use super::operands::typed;
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Operand, Refusal, Scalar};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::{Meta, Size};
use crate::pytorch::types::{Kind, is_float, kind};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.sym_size.int", "self dim", convert_size, evaluate_size),
    operator("aten.size.int", "self dim", convert_size, evaluate_size),
    operator("aten.sym_numel.default", "self", convert_numel, evaluate_numel),
    operator("aten.item.default", "self", convert_item, evaluate_item),
    operator("aten._local_scalar_dense.default", "self", convert_item, evaluate_item),
    operator("operator.add", "a b", convert_binary, evaluate_binary),
    operator("operator.sub", "a b", convert_binary, evaluate_binary),
    operator("operator.mul", "a b", convert_binary, evaluate_binary),
    operator("operator.floordiv", "a b", convert_binary, evaluate_binary),
    operator("operator.mod", "a b", convert_binary, evaluate_binary),
    operator("operator.truediv", "a b", convert_binary, evaluate_binary),
    operator("operator.pow", "a b", convert_binary, evaluate_binary),
    operator("math.pow", "a b", convert_binary, evaluate_binary),
    operator("torch.sym_max", "a b", convert_binary, evaluate_binary),
    operator("torch.sym_min", "a b", convert_binary, evaluate_binary),
    operator("operator.neg", "a", convert_unary, evaluate_unary),
    operator("operator.pos", "a", convert_unary, evaluate_unary),
    operator("operator.abs", "a", convert_unary, evaluate_unary),
    operator("torch.sym_int", "a", convert_unary, evaluate_unary),
    operator("torch.sym_float", "a", convert_unary, evaluate_unary),
    operator("torch.sym_not", "a", convert_unary, evaluate_unary),
    operator("math.ceil", "a", convert_unary, evaluate_unary),
    operator("math.floor", "a", convert_unary, evaluate_unary),
    operator("math.trunc", "a", convert_unary, evaluate_unary),
    operator("torch._sym_sqrt", "a", convert_unary, evaluate_unary),
    operator("operator.eq", "a b", convert_binary, evaluate_binary),
    operator("operator.ne", "a b", convert_binary, evaluate_binary),
    operator("operator.lt", "a b", convert_binary, evaluate_binary),
    operator("operator.le", "a b", convert_binary, evaluate_binary),
    operator("operator.gt", "a b", convert_binary, evaluate_binary),
    operator("operator.ge", "a b", convert_binary, evaluate_binary),
    operator("operator.and_", "a b", convert_binary, evaluate_binary),
    operator("operator.or_", "a b", convert_binary, evaluate_binary),
];

fn convert_size(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let extent = call.to.size(&own, axis);
    call.give_extent(0, extent);
    Ok(())
}

fn evaluate_size(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = own.dims().get(axis).copied().unwrap_or(1);
    Ok(vec![Value::Int(size as i64)])
}

fn convert_numel(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let extents = call.to.sizes(&own);
    let product = call.to.product(&extents);
    call.give_extent(0, product);
    Ok(())
}

fn evaluate_numel(eval: &mut Eval<'_, '_>) -> Outcome {
    Ok(vec![Value::Int(eval.tensor("self")?.len() as i64)])
}

/// The one element of a tensor as a number.
fn convert_item(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    if kind(own.element_type) == Kind::Int {
        let long = call.to.cast(&own.name, own.element_type, ElementType::Int64);
        let one = call.to.ints(&[1]);
        let vector = call.to.emit("Reshape", &[&long, &one]);
        call.give_extent(0, Extent::Value(vector));
        return Ok(());
    }
    let wide = if is_float(own.element_type) { ElementType::Float32 } else { ElementType::Bool };
    let value = call.to.cast(&own.name, own.element_type, wide);
    let none = call.to.ints(&[]);
    let value = call.to.emit("Reshape", &[&value, &none]);
    call.give_number(0, value);
    Ok(())
}

fn evaluate_item(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let value = own.to_f64s()?.first().copied();
    let value =
        value.ok_or_else(|| EvaluateError::new("a tensor without elements is no number"))?;
    Ok(vec![match kind(own.element_type()) {
        Kind::Bool => Value::Bool(value != 0.0),
        Kind::Int => Value::Int(own.as_ints()?.first().copied().unwrap_or(0)),
        Kind::Float => Value::Float(value),
    }])
}

/// What two known numbers give.
fn calculate(operator: &str, a: Scalar, b: Scalar) -> Option<Scalar> {
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return of_ints(operator, a, b);
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    Some(match operator {
        "add" => Scalar::Float(a + b),
        "sub" => Scalar::Float(a - b),
        "mul" => Scalar::Float(a * b),
        "truediv" => Scalar::Float(a / b),
        "floordiv" => Scalar::Float((a / b).floor()),
        "mod" => Scalar::Float(a - b * (a / b).floor()),
        "pow" => Scalar::Float(a.powf(b)),
        "sym_max" => Scalar::Float(a.max(b)),
        "sym_min" => Scalar::Float(a.min(b)),
        _ => Scalar::Bool(compared(operator, a.partial_cmp(&b)?)?),
    })
}

fn whole(scalar: Scalar) -> Option<i64> {
    match scalar {
        Scalar::Int(value) => Some(value),
        Scalar::Bool(value) => Some(i64::from(value)),
        Scalar::Float(_) => None,
    }
}

fn of_ints(operator: &str, a: i64, b: i64) -> Option<Scalar> {
    Some(Scalar::Int(match operator {
        "add" => a.checked_add(b)?,
        "sub" => a.checked_sub(b)?,
        "mul" => a.checked_mul(b)?,
        "floordiv" => floor_div(a, b)?,
        "mod" => a.checked_sub(b.checked_mul(floor_div(a, b)?)?)?,
        "pow" => a.checked_pow(u32::try_from(b).ok()?)?,
        "sym_max" => a.max(b),
        "sym_min" => a.min(b),
        "truediv" => return (b != 0).then(|| Scalar::Float(a as f64 / b as f64)),
        "and_" => return Some(Scalar::Bool(a != 0 && b != 0)),
        "or_" => return Some(Scalar::Bool(a != 0 || b != 0)),
        _ => return compared(operator, a.cmp(&b)).map(Scalar::Bool),
    }))
}

fn floor_div(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let is_exact = a.checked_rem(b)? == 0;
    if !is_exact && (a < 0) != (b < 0) { quotient.checked_sub(1) } else { Some(quotient) }
}

fn compared(operator: &str, order: std::cmp::Ordering) -> Option<bool> {
    Some(match operator {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        "ge" => order.is_ge(),
        _ => return None,
    })
}

fn convert_binary(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    if let Some(Meta::Int(Size::Known(value))) = call.output_meta(0) {
        call.give_extent(0, Extent::Known(*value));
        return Ok(());
    }
    let arguments = call.positional();
    let [a, b] = arguments.as_slice() else {
        return Err(Refusal::new("another number of operands than 2", ""));
    };
    let (a, b) = (call.as_operand(a)?, call.as_operand(b)?);
    let operation = call.operator();
    if let (Operand::Number(a), Operand::Number(b)) = (&a, &b)
        && let Some(value) = calculate(operation, *a, *b)
    {
        call.give_scalar(0, value);
        return Ok(());
    }
    match (as_extent(&a), as_extent(&b)) {
        (Some(a), Some(b)) if is_whole(operation) => convert_whole(call, operation, &a, &b),
        _ => convert_floats(call, operation, &a, &b),
    }
}

fn as_extent(operand: &Operand) -> Option<Extent> {
    match operand {
        Operand::Extent(extent) => Some(extent.clone()),
        Operand::Number(Scalar::Int(value)) => Some(Extent::Known(*value)),
        _ => None,
    }
}

/// Whether an operation on whole numbers gives a whole number.
fn is_whole(operation: &str) -> bool {
    matches!(operation, "add" | "sub" | "mul" | "floordiv" | "mod" | "sym_max" | "sym_min" | "pow")
}

fn convert_whole(
    call: &mut Call<'_, '_>,
    operation: &str,
    a: &Extent,
    b: &Extent,
) -> Result<(), Refusal> {
    let to = &mut call.to;
    let result = match operation {
        "add" => to.combine("Add", a, b, i64::checked_add),
        "sub" => to.combine("Sub", a, b, i64::checked_sub),
        "mul" => to.combine("Mul", a, b, i64::checked_mul),
        "mod" => to.combine("Mod", a, b, |_, _| None),
        "sym_max" => to.combine("Max", a, b, |a, b| Some(a.max(b))),
        "sym_min" => to.combine("Min", a, b, |a, b| Some(a.min(b))),
        "pow" => to.combine("Pow", a, b, |_, _| None),
        // Rounded down: what is left out first is the remainder.
        _ => {
            let rest = to.combine("Mod", a, b, |_, _| None);
            let even = to.combine("Sub", a, &rest, |_, _| None);
            to.combine("Div", &even, b, |_, _| None)
        }
    };
    call.give_extent(0, result);
    Ok(())
}

/// Operations that give floats or truth values: on tensors without dimensions.
fn convert_floats(
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

fn evaluate_binary(eval: &mut Eval<'_, '_>) -> Outcome {
    let values = eval.positional()?;
    let numbers: Option<Vec<Scalar>> = values.iter().map(as_scalar).collect();
    let found = match numbers.as_deref() {
        Some(&[a, b]) => calculate(eval.operator(), a, b),
        _ => None,
    };
    found
        .map(|scalar| vec![value(scalar)])
        .ok_or_else(|| EvaluateError::new("two numbers that this operation is defined for"))
}

fn as_scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Int(value) => Some(Scalar::Int(*value)),
        Value::Float(value) => Some(Scalar::Float(*value)),
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Tensor(_) | Value::None => None,
    }
}

fn value(scalar: Scalar) -> Value {
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

fn convert_unary(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
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

fn evaluate_unary(eval: &mut Eval<'_, '_>) -> Outcome {
    let values = eval.positional()?;
    let found = values.first().and_then(as_scalar).and_then(|a| calculate_one(eval.operator(), a));
    found.map(|scalar| vec![value(scalar)]).ok_or_else(|| EvaluateError::new("expected a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_divide_as_in_python() {
        assert_eq!(of_ints("floordiv", -7, 2), Some(Scalar::Int(-4)));
        assert_eq!(of_ints("mod", -7, 2), Some(Scalar::Int(1)));
        assert_eq!(of_ints("floordiv", 7, 0), None);
        assert_eq!(of_ints("truediv", 1, 2), Some(Scalar::Float(0.5)));
        assert_eq!(of_ints("lt", 1, 2), Some(Scalar::Bool(true)));
    }
}
