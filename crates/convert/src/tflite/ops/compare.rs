//! Comparisons of two numbers, and AND and OR of two booleans.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::elementwise::{Comparison, compare, logical};

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let inputs = [cx.real(op.input(0)?)?, cx.real(op.input(1)?)?];
    let y = match op.kind.as_str() {
        "EQUAL" => cx.emitter.add(node("Equal", &inputs)),
        "NOT_EQUAL" => {
            let equal = cx.emitter.add(node("Equal", &inputs));
            cx.emitter.add(node("Not", &[equal]))
        }
        "LESS" => cx.emitter.add(node("Less", &inputs)),
        "LESS_EQUAL" => cx.emitter.add(node("LessOrEqual", &inputs)),
        "GREATER" => cx.emitter.add(node("Greater", &inputs)),
        "GREATER_EQUAL" => cx.emitter.add(node("GreaterOrEqual", &inputs)),
        "LOGICAL_AND" => cx.emitter.add(node("And", &inputs)),
        "LOGICAL_OR" => cx.emitter.add(node("Or", &inputs)),
        _ => return Err(super::unknown(op)),
    };
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (a, b) = (cx.real(op.input(0)?)?, cx.real(op.input(1)?)?);
    let y = match op.kind.as_str() {
        "EQUAL" => compare(&a, &b, Comparison::Equal)?,
        "NOT_EQUAL" => compare(&a, &b, Comparison::NotEqual)?,
        "LESS" => compare(&a, &b, Comparison::Less)?,
        "LESS_EQUAL" => compare(&a, &b, Comparison::LessOrEqual)?,
        "GREATER" => compare(&a, &b, Comparison::Greater)?,
        "GREATER_EQUAL" => compare(&a, &b, Comparison::GreaterOrEqual)?,
        "LOGICAL_AND" => logical(&a, &b, |a, b| a && b)?,
        "LOGICAL_OR" => logical(&a, &b, |a, b| a || b)?,
        kind => return Err(mismatch(format!("{kind} is not known"))),
    };
    cx.give(op.output(0)?, y)
}
