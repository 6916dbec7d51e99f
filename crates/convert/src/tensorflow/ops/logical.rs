//! Comparisons, and what is done with their answers.

use modelyard_graph::ElementType;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::reference::elementwise::{self, Comparison};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (one, two) = (call.input(0)?, call.input(1)?);
    let dims = dims::broadcast(&one.dims, &two.dims);
    let inputs: [String; 2] = context.names(call)?;
    let op_type = match call.node.op.as_str() {
        "Equal" | "NotEqual" => "Equal",
        "Greater" => "Greater",
        "GreaterEqual" => "GreaterOrEqual",
        "Less" => "Less",
        "LessEqual" => "LessOrEqual",
        "LogicalAnd" => "And",
        _ => "Or",
    };
    let mut found = context.add(op_type, &inputs);
    if call.node.op == "NotEqual" {
        found = context.add("Not", &[found]);
    }
    Ok(vec![context.value(found, ElementType::Bool, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (a, b) = (given.input(0)?, given.input(1)?);
    let compared = |comparison| elementwise::compare(a, b, comparison);
    Ok(vec![match given.node.op.as_str() {
        "Equal" => compared(Comparison::Equal)?,
        "NotEqual" => compared(Comparison::NotEqual)?,
        "Greater" => compared(Comparison::Greater)?,
        "GreaterEqual" => compared(Comparison::GreaterOrEqual)?,
        "Less" => compared(Comparison::Less)?,
        "LessEqual" => compared(Comparison::LessOrEqual)?,
        "LogicalAnd" => elementwise::logical(a, b, |a, b| a && b)?,
        "LogicalOr" => elementwise::logical(a, b, |a, b| a || b)?,
        _ => return Err(EvaluateError::new("the operator is not covered")),
    }])
}
