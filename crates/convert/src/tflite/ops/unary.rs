//! Operators that treat each element by itself, without parameters.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::elementwise::{abs, map, map_floats, neg, not, round_half_even, sign, zip};

/// The operator of ONNX of the same meaning.
fn same(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "ABS" => "Abs",
        "CEIL" => "Ceil",
        "COS" => "Cos",
        "EXP" => "Exp",
        "FLOOR" => "Floor",
        "LOG" => "Log",
        "LOGICAL_NOT" => "Not",
        "NEG" => "Neg",
        "ROUND" => "Round",
        "SIGN" => "Sign",
        "SIN" => "Sin",
        "SQRT" => "Sqrt",
        _ => return None,
    })
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let x = cx.real(input)?;
    let y = match op.kind.as_str() {
        "SQUARE" => cx.emitter.add(node("Mul", &[&x, &x])),
        "RSQRT" => {
            let root = cx.emitter.add(node("Sqrt", &[x]));
            cx.emitter.add(node("Reciprocal", &[root]))
        }
        "ZEROS_LIKE" => {
            let zero = super::fill::zero(cx.element_type(output)?);
            let shape = cx.emitter.add(node("Shape", &[x]));
            cx.emitter.add(node("ConstantOfShape", &[shape]).with("value", zero))
        }
        kind => match same(kind) {
            Some(name) => cx.emitter.add(node(name, &[x])),
            None => return Err(super::unknown(op)),
        },
    };
    cx.give(output, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let x = cx.real(op.input(0)?)?;
    let y = match op.kind.as_str() {
        "ABS" => abs(&x)?,
        "CEIL" => map_floats(&x, f32::ceil)?,
        "COS" => map(&x, f64::cos)?,
        "EXP" => map(&x, f64::exp)?,
        "FLOOR" => map_floats(&x, f32::floor)?,
        "LOG" => map(&x, f64::ln)?,
        "LOGICAL_NOT" => not(&x)?,
        "NEG" => neg(&x)?,
        "ROUND" => round_half_even(&x)?,
        "RSQRT" => map(&x, |value| 1.0 / value.sqrt())?,
        "SIGN" => sign(&x)?,
        "SIN" => map(&x, f64::sin)?,
        "SQRT" => map(&x, f64::sqrt)?,
        "SQUARE" => zip(&x, &x, |a, b| a * b, |a, b| a * b, i64::wrapping_mul)?,
        "ZEROS_LIKE" if x.element_type() == ElementType::Bool => {
            crate::reference::Array::bools(x.dims(), vec![false; x.len()])?
        }
        "ZEROS_LIKE" => map(&x, |_| 0.0)?,
        kind => return Err(mismatch(format!("{kind} is not known"))),
    };
    cx.give_real(output, y)
}
