//! Functions of each element.

use super::super::site::Site;
use super::{Operator, Problem, at, same};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, activations, elementwise};

use super::Op;

pub(super) const OPERATOR: Operator = Operator {
    names: &[
        "abs",
        "negative",
        "_np_negative",
        "sign",
        "ceil",
        "floor",
        "rint",
        "round",
        "fix",
        "trunc",
        "square",
        "sqrt",
        "rsqrt",
        "cbrt",
        "rcbrt",
        "exp",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "sigmoid",
        "softsign",
        "relu",
        "_npx_relu",
        "_npx_sigmoid",
        "hard_sigmoid",
        "erf",
        "reciprocal",
        "degrees",
        "radians",
        "logical_not",
        "smooth_l1",
    ],
    infer: |op, inputs| {
        parameters(op)?;
        same(op, inputs)
    },
    convert,
    evaluate,
};

/// The numbers of those that have some.
fn parameters(op: &Op<'_>) -> Result<(f64, f64), Problem> {
    match op.operator {
        "hard_sigmoid" => {
            Ok((op.attributes.float_or("alpha", 0.2)?, op.attributes.float_or("beta", 0.5)?))
        }
        "smooth_l1" => Ok((op.attributes.float_or("scalar", 1.0)?, 0.0)),
        _ => Ok((0.0, 0.0)),
    }
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let x = site.input(0)?;
    let (alpha, beta) = parameters(&site.op)?;
    let direct = match site.op.operator {
        "abs" => "Abs",
        "negative" | "_np_negative" => "Neg",
        "sign" => "Sign",
        "ceil" => "Ceil",
        "floor" => "Floor",
        "sqrt" => "Sqrt",
        "exp" => "Exp",
        "log" => "Log",
        "sin" => "Sin",
        "cos" => "Cos",
        "tan" => "Tan",
        "arcsin" => "Asin",
        "arccos" => "Acos",
        "arctan" => "Atan",
        "sinh" => "Sinh",
        "cosh" => "Cosh",
        "tanh" => "Tanh",
        "arcsinh" => "Asinh",
        "arccosh" => "Acosh",
        "arctanh" => "Atanh",
        "sigmoid" | "_npx_sigmoid" => "Sigmoid",
        "softsign" => "Softsign",
        "relu" | "_npx_relu" => "Relu",
        "erf" => "Erf",
        "reciprocal" => "Reciprocal",
        "hard_sigmoid" => {
            let found = node("HardSigmoid", &[x]);
            let found = found.with("alpha", alpha as f32).with("beta", beta as f32);
            return Ok(vec![site.add(found)]);
        }
        _ => return composed(site, &x, alpha).map(|found| vec![found]),
    };
    Ok(vec![site.op(direct, &[&x])])
}

/// Functions that ONNX does not have.
fn composed(site: &mut Site<'_>, x: &str, alpha: f64) -> Result<String, Problem> {
    let kind = site.kind()?;
    let scaled = |site: &mut Site<'_>, value: &str, factor: f64| {
        let factor = site.number("factor", kind, factor);
        site.op("Mul", &[value, &factor])
    };
    // A function of the size, with the sign of the element.
    let signed = |site: &mut Site<'_>, function: &dyn Fn(&mut Site<'_>, &str) -> String| {
        let sign = site.op("Sign", &[x]);
        let size = site.op("Abs", &[x]);
        let found = function(site, &size);
        site.op("Mul", &[&sign, &found])
    };
    let cube_root = |site: &mut Site<'_>, size: &str| {
        let third = site.number("third", kind, 1.0 / 3.0);
        site.op("Pow", &[size, &third])
    };
    Ok(match site.op.operator {
        "square" => site.op("Mul", &[x, x]),
        "rsqrt" => {
            let root = site.op("Sqrt", &[x]);
            site.op("Reciprocal", &[&root])
        }
        "cbrt" => signed(site, &cube_root),
        "rcbrt" => {
            let root = signed(site, &cube_root);
            site.op("Reciprocal", &[&root])
        }
        "expm1" => {
            let one = site.number("one", kind, 1.0);
            let power = site.op("Exp", &[x]);
            site.op("Sub", &[&power, &one])
        }
        "log1p" => {
            let one = site.number("one", kind, 1.0);
            let sum = site.op("Add", &[x, &one]);
            site.op("Log", &[&sum])
        }
        "log2" | "log10" => {
            let base: f64 = if site.op.operator == "log2" { 2.0 } else { 10.0 };
            let log = site.op("Log", &[x]);
            scaled(site, &log, 1.0 / base.ln())
        }
        "degrees" => scaled(site, x, 180.0 / std::f64::consts::PI),
        "radians" => scaled(site, x, std::f64::consts::PI / 180.0),
        "fix" | "trunc" => signed(site, &|site, size| site.op("Floor", &[size])),
        // Halves away from zero.
        "round" => signed(site, &|site, size| {
            let half = site.number("half", kind, 0.5);
            let sum = site.op("Add", &[size, &half]);
            site.op("Floor", &[&sum])
        }),
        // Halves down.
        "rint" => {
            let half = site.number("half", kind, 0.5);
            let less = site.op("Sub", &[x, &half]);
            site.op("Ceil", &[&less])
        }
        "logical_not" => {
            let zero = site.number("zero", kind, 0.0);
            let equal = site.op("Equal", &[x, &zero]);
            site.cast(&equal, kind)
        }
        // smooth_l1: (s x)² / 2 where |x| < 1 / s², else |x| - 1 / (2 s²).
        _ => {
            let square = alpha * alpha;
            let size = site.op("Abs", &[x]);
            let limit = site.number("limit", kind, 1.0 / square);
            let inner = site.op("Less", &[&size, &limit]);
            let squared = site.op("Mul", &[x, x]);
            let squared = scaled(site, &squared, square / 2.0);
            let half = site.number("half", kind, 0.5 / square);
            let linear = site.op("Sub", &[&size, &half]);
            site.op("Where", &[&inner, &squared, &linear])
        }
    })
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let (alpha, beta) = parameters(op)?;
    let found = match op.operator {
        "abs" => elementwise::abs(x),
        "negative" | "_np_negative" => elementwise::neg(x),
        "sign" => elementwise::sign(x),
        "hard_sigmoid" => elementwise::map(x, |x| activations::hard_sigmoid(x, alpha, beta)),
        "smooth_l1" => elementwise::map(x, |x| {
            let square = alpha * alpha;
            if x.abs() < 1.0 / square { square * x * x / 2.0 } else { x.abs() - 0.5 / square }
        }),
        name => elementwise::map(x, function(name)),
    };
    Ok(vec![found?])
}

fn function(name: &str) -> fn(f64) -> f64 {
    match name {
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "rint" => |x| if x - x.floor() <= x.ceil() - x { x.floor() } else { x.ceil() },
        "round" => f64::round,
        "fix" | "trunc" => f64::trunc,
        "square" => |x| x * x,
        "sqrt" => f64::sqrt,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        "cbrt" => f64::cbrt,
        "rcbrt" => |x| 1.0 / x.cbrt(),
        "exp" => f64::exp,
        "expm1" => f64::exp_m1,
        "log" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "log1p" => f64::ln_1p,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "arcsin" => f64::asin,
        "arccos" => f64::acos,
        "arctan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "arcsinh" => f64::asinh,
        "arccosh" => f64::acosh,
        "arctanh" => f64::atanh,
        "sigmoid" | "_npx_sigmoid" => activations::sigmoid,
        "softsign" => activations::softsign,
        "relu" | "_npx_relu" => activations::relu,
        "erf" => activations::erf,
        "reciprocal" => f64::recip,
        "degrees" => f64::to_degrees,
        "radians" => f64::to_radians,
        _ => |x| f64::from(x == 0.0),
    }
}
