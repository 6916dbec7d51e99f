//! Reductions: many elements become one. No axes at all means that nothing is reduced.

use modelyard_graph::ElementType;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::reduce::{self, Over};
use crate::tensorflow::context::{Call, Context, Converted};
use std::rc::Rc;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let keep = call.node.attrs.bool("keep_dims", false);
    let axes = context.integers(call.input(1)?, "the axes of a reduction")?;
    if axes.is_empty() {
        return Ok(vec![Rc::clone(value)]);
    }
    let dims = dims::reduced(value, &axes, keep)?;
    let mut x = context.name(value)?;
    let op_type = match call.node.op.as_str() {
        "Sum" => "ReduceSum",
        "Mean" => "ReduceMean",
        "Prod" => "ReduceProd",
        "EuclideanNorm" => "ReduceL2",
        "Max" | "Any" => "ReduceMax",
        _ => "ReduceMin",
    };
    // ONNX reduces no booleans.
    let is_bool = value.element_type == ElementType::Bool;
    if is_bool {
        x = context.cast(&x, ElementType::Int32);
    }
    let list = context.emitter.integers("axes", &axes);
    let reduction = node(op_type, &[x, list]).with("keepdims", i64::from(keep));
    let mut found = context.add_node(reduction);
    if is_bool {
        found = context.cast(&found, ElementType::Bool);
    }
    Ok(vec![context.value(found, value.element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, axes) = (given.input(0)?, given.integers(1)?);
    let over = Over { axes: Some(&axes), keep_dims: given.attrs().bool("keep_dims", false) };
    if axes.is_empty() {
        return Ok(vec![x.clone()]);
    }
    Ok(vec![match given.node.op.as_str() {
        "Sum" => reduce::sum(x, over)?,
        "Mean" => reduce::mean(x, over)?,
        "Prod" => reduce::prod(x, over)?,
        "EuclideanNorm" => reduce::norm_l2(x, over)?,
        "Max" => reduce::max(x, over)?,
        "Min" => reduce::min(x, over)?,
        "Any" => reduce::any(x, over)?,
        "All" => reduce::all(x, over)?,
        _ => return Err(EvaluateError::new("the operator is not covered")),
    }])
}
