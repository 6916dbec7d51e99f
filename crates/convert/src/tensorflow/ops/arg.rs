//! `ArgMax` and `ArgMin`: where along an axis the largest or smallest element stands, the first of
//! several.

use modelyard_graph::ElementType;

use super::{Evaluated, Given, dims};
use crate::emitter::node;
use crate::reference::elementwise;
use crate::reference::reduce::{self, Tie};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let axis = match call.inputs.get(1) {
        Some(axis) => context.integer(axis, "an axis")?,
        None => 0,
    };
    let x = context.name(value)?;
    let found = node(&call.node.op, &[x]).with("axis", axis).with("keepdims", 0);
    let mut found = context.add_node(found);
    let element_type = call.node.attrs.element_type("output_type").unwrap_or(ElementType::Int64);
    if element_type != ElementType::Int64 {
        found = context.cast(&found, element_type);
    }
    Ok(vec![context.value(found, element_type, dims::reduced(value, &[axis], false)?)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let axis = if given.inputs.len() > 1 { given.integer(1)? } else { 0 };
    let found = match given.node.op.as_str() {
        "ArgMax" => reduce::arg_max(x, axis, false, Tie::First)?,
        _ => reduce::arg_min(x, axis, false, Tie::First)?,
    };
    let element_type = given.attrs().element_type("output_type").unwrap_or(ElementType::Int64);
    Ok(vec![elementwise::cast(&found, element_type)?])
}
