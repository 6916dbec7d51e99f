//! Numbers of Python that a program computes with: sizes of tensors, and what is made of them.

mod sizes;
#[cfg(test)]
mod tests;
mod unary;

use super::{Operator, operator};
use crate::EvaluateError;
use crate::pytorch::convert::{Call, Extent, Operand, Refusal, Scalar};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::{Meta, Size};

use sizes::{
    convert_item, convert_numel, convert_size, evaluate_item, evaluate_numel, evaluate_size,
};
use unary::{convert_floats, convert_unary, evaluate_unary, value};

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
