//! Numbers of Python: what is known is computed.

use super::value::{NumberKind, Value};
use crate::pytorch::convert::Scalar;

/// What a function gives for known numbers; `None` where it is none of these; an exception's text
/// where Python raises one.
pub(super) fn calculate(name: &str, known: &[Scalar]) -> Option<Result<Value, &'static str>> {
    match known {
        [one] => unary(name, *one),
        [one, two] => binary(name, *one, *two),
        [index, start, step] if name == "__derive_index" => {
            let at = index.as_i64().checked_mul(step.as_i64());
            let at = at.and_then(|at| at.checked_add(start.as_i64()));
            Some(at.map(Value::Int).ok_or(OVERFLOW))
        }
        [start, end, step] if name == "__range_length" => {
            Some(range_length(start.as_i64(), end.as_i64(), step.as_i64()))
        }
        _ => None,
    }
}

const OVERFLOW: &str = "a number beyond 64 bits";

const ZERO: &str = "ZeroDivisionError";

const ZERO_POWER: &str = "0.0 cannot be raised to a negative power";

fn zero_to_negative(one: f64, two: f64) -> bool {
    one == 0.0 && two < 0.0
}

/// A float as TorchScript prints it: `1.` and `0.10000000000000001`.
pub(super) fn float_text(value: f64) -> String {
    const DIGITS: i32 = 17;
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan".into() } else { "nan".into() };
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value.fract() == 0.0 && value.abs() < 1e10 {
        return format!("{value:.0}.");
    }
    let scientific = format!("{value:.16e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

fn range_length(start: i64, end: i64, step: i64) -> Result<Value, &'static str> {
    let (start, end, step) = (i128::from(start), i128::from(end), i128::from(step));
    let length = match step {
        0 => return Err("range() with a step of 0"),
        1.. => (end - start + step - 1).div_euclid(step),
        _ => (start - end - step - 1).div_euclid(-step),
    };
    i64::try_from(length.max(0)).map(Value::Int).map_err(|_| OVERFLOW)
}

fn unary(name: &str, one: Scalar) -> Option<Result<Value, &'static str>> {
    let float = one.as_f64();
    let value = match (name, one) {
        ("int" | "Int" | "IntImplicit", Scalar::Float(value)) if !value.is_finite() => {
            return Some(Err("an integer that is not finite"));
        }
        ("int" | "Int" | "IntImplicit", _) => Value::Int(one.as_i64()),
        ("float" | "Float" | "FloatImplicit", _) => Value::Float(float),
        ("bool" | "Bool", _) => Value::Bool(float != 0.0),
        ("Scalar" | "ScalarImplicit" | "item" | "pos", _) => Value::scalar(one),
        ("__not__" | "logical_not", _) => Value::Bool(float == 0.0),
        ("neg", Scalar::Float(value)) => Value::Float(-value),
        ("neg", _) => return Some(one.as_i64().checked_neg().map(Value::Int).ok_or(OVERFLOW)),
        ("abs", Scalar::Float(value)) => Value::Float(value.abs()),
        ("abs", _) => return Some(one.as_i64().checked_abs().map(Value::Int).ok_or(OVERFLOW)),
        ("floor" | "ceil" | "round" | "trunc", Scalar::Int(value)) if name != "round" => {
            Value::Int(value)
        }
        ("floor", _) => Value::Int(float.floor() as i64),
        ("ceil", _) => Value::Int(float.ceil() as i64),
        ("trunc", _) => Value::Int(float.trunc() as i64),
        ("round", _) => Value::Float(float.round_ties_even()),
        ("bitwise_not", Scalar::Bool(value)) => Value::Bool(!value),
        ("bitwise_not", _) => Value::Int(!one.as_i64()),
        _ => Value::Float(function(name, float)?),
    };
    Some(Ok(value))
}

/// Functions of the module `math`.
fn function(name: &str, value: f64) -> Option<f64> {
    Some(match name {
        "sqrt" => value.sqrt(),
        "exp" => value.exp(),
        "log" => value.ln(),
        "log2" => value.log2(),
        "log10" => value.log10(),
        "log1p" => value.ln_1p(),
        "expm1" => value.exp_m1(),
        "sin" => value.sin(),
        "cos" => value.cos(),
        "tan" => value.tan(),
        "tanh" => value.tanh(),
        "atan" => value.atan(),
        "degrees" => value.to_degrees(),
        "radians" => value.to_radians(),
        _ => return None,
    })
}

fn binary(name: &str, one: Scalar, two: Scalar) -> Option<Result<Value, &'static str>> {
    let compared = one.as_f64().partial_cmp(&two.as_f64());
    let compared = match (whole(one), whole(two)) {
        (Some(one), Some(two)) => Some(one.cmp(&two)),
        _ => compared,
    };
    let truth = match name {
        "eq" => Some(compared.is_some_and(|order| order.is_eq())),
        "ne" => Some(compared.is_none_or(|order| order.is_ne())),
        "lt" => Some(compared.is_some_and(|order| order.is_lt())),
        "le" => Some(compared.is_some_and(|order| order.is_le())),
        "gt" => Some(compared.is_some_and(|order| order.is_gt())),
        "ge" => Some(compared.is_some_and(|order| order.is_ge())),
        "__is__" => Some(compared.is_some_and(|order| order.is_eq())),
        "__isnot__" => Some(compared.is_none_or(|order| order.is_ne())),
        "logical_and" => Some(one.as_f64() != 0.0 && two.as_f64() != 0.0),
        "logical_or" => Some(one.as_f64() != 0.0 || two.as_f64() != 0.0),
        _ => None,
    };
    if let Some(truth) = truth {
        return Some(Ok(Value::Bool(truth)));
    }
    if let (Scalar::Bool(one), Scalar::Bool(two)) = (one, two) {
        match name {
            "__and__" => return Some(Ok(Value::Bool(one & two))),
            "__or__" => return Some(Ok(Value::Bool(one | two))),
            "__xor__" => return Some(Ok(Value::Bool(one ^ two))),
            _ => {}
        }
    }
    match (whole(one), whole(two)) {
        (Some(one), Some(two)) => ints(name, one, two),
        _ => floats(name, one.as_f64(), two.as_f64()),
    }
}

fn whole(scalar: Scalar) -> Option<i64> {
    match scalar {
        Scalar::Int(value) => Some(value),
        Scalar::Bool(value) => Some(i64::from(value)),
        Scalar::Float(_) => None,
    }
}

fn ints(name: &str, one: i64, two: i64) -> Option<Result<Value, &'static str>> {
    let floored = |one: i64, two: i64| {
        let quotient = one.checked_div(two)?;
        let exact = one.checked_rem(two)? == 0;
        if !exact && (one < 0) != (two < 0) { quotient.checked_sub(1) } else { Some(quotient) }
    };
    let zero = two == 0;
    let value = match name {
        "add" => one.checked_add(two),
        "sub" => one.checked_sub(two),
        "mul" => one.checked_mul(two),
        "floordiv" | "floor_divide" | "remainder" | "fmod" | "div" | "truediv" if zero => {
            return Some(Err(ZERO));
        }
        "floordiv" | "floor_divide" => floored(one, two),
        "remainder" => one
            .checked_rem_euclid(two)
            .map(|rest| if two < 0 && rest != 0 { rest + two } else { rest }),
        "div" | "truediv" => return Some(Ok(Value::Float(one as f64 / two as f64))),
        "pow" if zero_to_negative(one as f64, two as f64) => return Some(Err(ZERO_POWER)),
        // `aten::pow.int`: a float, whatever the exponent.
        "pow" => return Some(Ok(Value::Float((one as f64).powf(two as f64)))),
        "max" => Some(one.max(two)),
        "min" => Some(one.min(two)),
        "__and__" | "bitwise_and" => Some(one & two),
        "__or__" | "bitwise_or" => Some(one | two),
        "__xor__" | "bitwise_xor" => Some(one ^ two),
        "__lshift__" => u32::try_from(two).ok().and_then(|two| one.checked_shl(two)),
        "__rshift__" => u32::try_from(two).ok().and_then(|two| one.checked_shr(two)),
        "__range_length" => return Some(range_length(0, one, two)),
        _ => return floats(name, one as f64, two as f64),
    };
    Some(value.map(Value::Int).ok_or(OVERFLOW))
}

fn floats(name: &str, one: f64, two: f64) -> Option<Result<Value, &'static str>> {
    if two == 0.0 && matches!(name, "floordiv" | "floor_divide" | "remainder" | "div" | "truediv") {
        return Some(Err(ZERO));
    }
    Some(Ok(Value::Float(match name {
        "add" => one + two,
        "sub" => one - two,
        "mul" => one * two,
        "div" | "truediv" => one / two,
        "floordiv" | "floor_divide" => (one / two).floor(),
        "remainder" => one - two * (one / two).floor(),
        "fmod" => one % two,
        "pow" if zero_to_negative(one, two) => return Some(Err(ZERO_POWER)),
        "pow" => one.powf(two),
        "max" => one.max(two),
        "min" => one.min(two),
        "atan2" => one.atan2(two),
        "copysign" => one.copysign(two),
        "log" => one.log(two),
        "round" => {
            let scale = 10f64.powf(two);
            (one * scale).round_ties_even() / scale
        }
        _ => return None,
    })))
}

/// What a conversion gives for a number that is of this kind already.
pub(super) fn unchanged(name: &str, positional: &[Value]) -> Option<Value> {
    let [value @ Value::Number(number)] = positional else { return None };
    let same = match name {
        "int" | "Int" | "floor" | "ceil" | "trunc" | "IntImplicit" => {
            number.kind == NumberKind::Int
        }
        "float" | "Float" => number.kind == NumberKind::Float,
        "bool" | "Bool" => number.kind == NumberKind::Bool,
        "Scalar" | "ScalarImplicit" | "item" => true,
        _ => false,
    };
    same.then(|| value.clone())
}

/// The operation of graphs on numbers that a function is.
pub(super) fn target(name: &str) -> Option<&'static str> {
    Some(match name {
        "add" => "operator.add",
        "sub" => "operator.sub",
        "mul" => "operator.mul",
        "floordiv" | "floor_divide" => "operator.floordiv",
        "div" | "truediv" => "operator.truediv",
        "remainder" => "operator.mod",
        "pow" => "operator.pow",
        "neg" => "operator.neg",
        "abs" => "operator.abs",
        "eq" => "operator.eq",
        "ne" => "operator.ne",
        "lt" => "operator.lt",
        "le" => "operator.le",
        "gt" => "operator.gt",
        "ge" => "operator.ge",
        "__and__" => "operator.and_",
        "__or__" => "operator.or_",
        "__not__" => "torch.sym_not",
        "max" => "torch.sym_max",
        "min" => "torch.sym_min",
        "sqrt" => "torch._sym_sqrt",
        "floor" => "math.floor",
        "ceil" => "math.ceil",
        "trunc" => "math.trunc",
        "int" | "Int" | "IntImplicit" => "torch.sym_int",
        "float" | "Float" | "FloatImplicit" => "torch.sym_float",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, known: &[Scalar], expected: &str) {
        let found = match calculate(name, known) {
            Some(Ok(value)) => super::super::texts::shown(&value),
            Some(Err(message)) => message.to_owned(),
            None => "nothing".into(),
        };
        assert_eq!(found, expected, "{name} {known:?}");
    }

    #[test]
    fn numbers_are_those_of_python() {
        use Scalar::{Bool, Float, Int};
        check("floordiv", &[Int(-7), Int(2)], "-4");
        check("remainder", &[Int(-7), Int(2)], "1");
        check("remainder", &[Int(7), Int(-2)], "-1");
        check("div", &[Int(7), Int(2)], "3.5");
        check("floordiv", &[Int(7), Int(0)], "ZeroDivisionError");
        check("round", &[Float(2.5)], "2.0");
        check("int", &[Float(-1.5)], "-1");
        check("eq", &[Int(1), Float(1.0)], "True");
        check("__not__", &[Bool(true)], "False");
        check("__range_length", &[Int(3), Int(10), Int(2)], "4");
        check("__range_length", &[Int(10), Int(3), Int(-3)], "3");
        check("__derive_index", &[Int(2), Int(3), Int(4)], "11");
        check("add", &[Int(i64::MAX), Int(1)], "a number beyond 64 bits");
        check("sqrt", &[Int(9)], "3.0");
        // torch 2.15: all powers of integers are floats.
        check("pow", &[Int(2), Int(3)], "8.0");
        check("pow", &[Int(2), Int(-1)], "0.5");
        check("pow", &[Int(2), Int(70)], "1.1805916207174113e21");
        check("pow", &[Int(0), Int(-1)], "0.0 cannot be raised to a negative power");
    }

    #[test]
    fn floats_are_printed_as_torchscript_prints_them() {
        let texts = [
            (0.1, "0.10000000000000001"),
            (1.0, "1."),
            (-0.0, "-0."),
            (1e20, "1e+20"),
            (f64::INFINITY, "inf"),
            (1e-7, "9.9999999999999995e-08"),
            (123456789.125, "123456789.125"),
        ];
        for (value, text) in texts {
            assert_eq!(float_text(value), text);
        }
    }
}
