//! Comparisons and logic, of two arrays or of an array and a number. The answer is 0 or 1 in the
//! type of the inputs.

use modelyard_graph::ElementType;

use super::super::site::Site;
use super::arithmetic::broadcast;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::reference::Array;
use crate::reference::elementwise::{self, Comparison};

pub(super) const OPERATOR: Operator = Operator {
    names: &[
        "_equal",
        "_Equal",
        "broadcast_equal",
        "_equal_scalar",
        "_EqualScalar",
        "_not_equal",
        "_Not_Equal",
        "broadcast_not_equal",
        "_not_equal_scalar",
        "_NotEqualScalar",
        "_greater",
        "_Greater",
        "broadcast_greater",
        "_greater_scalar",
        "_GreaterScalar",
        "_greater_equal",
        "_Greater_Equal",
        "broadcast_greater_equal",
        "_greater_equal_scalar",
        "_GreaterEqualScalar",
        "_lesser",
        "_Lesser",
        "broadcast_lesser",
        "_lesser_scalar",
        "_LesserScalar",
        "_lesser_equal",
        "_Lesser_Equal",
        "broadcast_lesser_equal",
        "_lesser_equal_scalar",
        "_LesserEqualScalar",
        "_logical_and",
        "broadcast_logical_and",
        "_logical_and_scalar",
        "_LogicalAndScalar",
        "_logical_or",
        "broadcast_logical_or",
        "_logical_or_scalar",
        "_LogicalOrScalar",
        "_logical_xor",
        "broadcast_logical_xor",
        "_logical_xor_scalar",
        "_LogicalXorScalar",
    ],
    infer,
    convert,
    evaluate,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Comparison(Comparison),
    And,
    Or,
    Xor,
}

fn kind(op: &Op<'_>) -> Kind {
    let name = op.operator.to_lowercase().replace('_', "");
    let has = |part: &str| name.contains(part);
    if has("logicaland") {
        Kind::And
    } else if has("logicalor") {
        Kind::Or
    } else if has("logicalxor") {
        Kind::Xor
    } else if has("notequal") {
        Kind::Comparison(Comparison::NotEqual)
    } else if has("greaterequal") {
        Kind::Comparison(Comparison::GreaterOrEqual)
    } else if has("lesserequal") {
        Kind::Comparison(Comparison::LessOrEqual)
    } else if has("greater") {
        Kind::Comparison(Comparison::Greater)
    } else if has("lesser") {
        Kind::Comparison(Comparison::Less)
    } else {
        Kind::Comparison(Comparison::Equal)
    }
}

/// The number that the array is compared with, where there is one.
fn scalar(op: &Op<'_>) -> Result<Option<f64>, Problem> {
    match op.operator.to_lowercase().ends_with("scalar") {
        true => op.attributes.float_or("scalar", 0.0).map(Some),
        false => Ok(None),
    }
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let one = info(inputs, 0)?;
    if scalar(op)?.is_some() {
        return Ok(vec![one.clone()]);
    }
    let two = info(inputs, 1)?;
    if one.kind != two.kind {
        let (one, two) = (one.kind, two.kind);
        return Err(Problem::shape(format!("elements of types {one} and {two}")));
    }
    Ok(vec![Info { dims: broadcast(one, two)?, kind: one.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let number = site.kind()?;
    let one = site.input(0)?;
    let two = match scalar(&site.op)? {
        Some(scalar) => site.number("scalar", number, scalar),
        None => site.input(1)?,
    };
    let found = match kind(&site.op) {
        Kind::Comparison(Comparison::NotEqual) => {
            let equal = site.op("Equal", &[&one, &two]);
            site.op("Not", &[&equal])
        }
        Kind::Comparison(comparison) => site.op(name(comparison), &[&one, &two]),
        logic => {
            let one = site.cast(&one, ElementType::Bool);
            let two = site.cast(&two, ElementType::Bool);
            let name = match logic {
                Kind::And => "And",
                Kind::Or => "Or",
                _ => "Xor",
            };
            site.op(name, &[&one, &two])
        }
    };
    Ok(vec![site.cast(&found, number)])
}

fn name(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "Less",
        Comparison::LessOrEqual => "LessOrEqual",
        Comparison::Greater => "Greater",
        Comparison::GreaterOrEqual => "GreaterOrEqual",
        _ => "Equal",
    }
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let one = at(inputs, 0)?;
    let number;
    let two = match scalar(op)? {
        Some(scalar) => {
            number = Array::from_f64s(one.element_type(), &[], vec![scalar])?;
            &number
        }
        None => at(inputs, 1)?,
    };
    let truth = |array: &Array| elementwise::test(array, |value| value != 0.0);
    let found = match kind(op) {
        Kind::Comparison(comparison) => elementwise::compare(one, two, comparison)?,
        Kind::And => elementwise::logical(&truth(one)?, &truth(two)?, |a, b| a && b)?,
        Kind::Or => elementwise::logical(&truth(one)?, &truth(two)?, |a, b| a || b)?,
        Kind::Xor => elementwise::logical(&truth(one)?, &truth(two)?, |a, b| a != b)?,
    };
    Ok(vec![elementwise::cast(&found, one.element_type())?])
}
