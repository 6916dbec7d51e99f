//! `Fill`, `ZerosLike` and `OnesLike`: one value everywhere.

use super::{Evaluated, Given, sizes, tile};
use crate::emitter::node;
use crate::reference::{Array, layout, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::writing::constant_of;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    if call.node.op == "Fill" {
        let (wanted, value) = (call.input(0)?, call.input(1)?);
        let known = context.integers(wanted, "").ok();
        let list = context.shape(wanted)?;
        let x = context.name(value)?;
        let found = context.add("Expand", &[x, list]);
        let dims = tile::asked(wanted, known);
        return Ok(vec![context.value(found, value.element_type, dims)]);
    }
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let number = if call.node.op == "OnesLike" { 1.0 } else { 0.0 };
    let one = Array::from_f64s(value.element_type, &[1], vec![number])?;
    let shape = context.add("Shape", &[x]);
    let constant = constant_of("", &one)?;
    let found = context.add_node(node("ConstantOfShape", &[shape]).with("value", constant));
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    if given.node.op == "Fill" {
        let wanted = sizes(&given.integers(0)?)?;
        layout::elements(&wanted)?;
        return Ok(vec![shape::broadcast_to(given.input(1)?, &wanted)?]);
    }
    let number = if given.node.op == "OnesLike" { 1.0 } else { 0.0 };
    Ok(vec![Array::from_f64s(x.element_type(), x.dims(), vec![number; x.len()])?])
}
