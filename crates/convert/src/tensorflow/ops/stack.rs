//! `Pack` and `Unpack`: values side by side along a new axis, and back.

use std::sync::Arc;

use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::emitter::node;
use crate::reference::{Array, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    if call.node.op == "Pack" { pack(context, call) } else { unpack(context, call) }
}

fn pack(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let axis = call.node.attrs.int("axis", 0);
    let first = call.input(0)?;
    let mut parts = Vec::with_capacity(call.inputs.len());
    for value in &call.inputs {
        let name = context.name(value)?;
        parts.push(context.with_axes("Unsqueeze", &name, &[axis]));
    }
    let found = context.add_node(node("Concat", &parts).with("axis", axis));
    let dims = match &first.dims {
        Some(own) => {
            let mut dims = own.clone();
            dims.insert(dims::axis(axis, own.len() + 1)?, Dim::Fixed(call.inputs.len()));
            Some(dims)
        }
        None => None,
    };
    Ok(vec![context.value(found, first.element_type, dims)])
}

fn unpack(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let axis = call.node.attrs.int("axis", 0);
    let at = dims::axis(axis, value.rank()?)?;
    let count = match (call.node.attrs.int("num", -1), value.size(at)) {
        (_, Some(size)) => size,
        (count, None) => usize::try_from(count).map_err(|_| {
            Refusal::new("unpacking an axis of unknown size", "give it a fixed size")
        })?,
    };
    if count > context.model.limits.nodes {
        return Err(Refusal::new(format!("unpacking into {count} values"), "use a slice"));
    }
    let x = context.name(value)?;
    let dims = dims::reduced(value, &[axis], false)?;
    let parts = match count {
        1 => vec![x],
        _ => {
            let sizes = context.emitter.integers("sizes", &vec![1; count]);
            let split = node("Split", &[x, sizes]).with("axis", axis);
            context.emitter.add_many(split, count)
        }
    };
    let mut outputs = Vec::with_capacity(count);
    for part in parts {
        let found = context.with_axes("Squeeze", &part, &[axis]);
        outputs.push(context.value(found, value.element_type, dims.clone()));
    }
    Ok(outputs)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let axis = given.attrs().int("axis", 0);
    if given.node.op == "Pack" {
        let arrays: Vec<&Array> = given.inputs.iter().map(Arc::as_ref).collect();
        return Ok(vec![shape::stack(&arrays, axis)?]);
    }
    shape::unstack(given.input(0)?, axis)
}
