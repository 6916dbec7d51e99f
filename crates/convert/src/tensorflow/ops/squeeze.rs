//! `ExpandDims` and `Squeeze`: axes of one element come and go.

use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::reference::shape;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    match call.node.op.as_str() {
        "ExpandDims" => expand(context, call),
        _ => squeeze(context, call),
    }
}

fn expand(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let axis = context.integer(call.input(1)?, "an axis")?;
    let x = context.name(value)?;
    let found = context.with_axes("Unsqueeze", &x, &[axis]);
    let dims = match &value.dims {
        Some(own) => {
            let mut dims = own.clone();
            dims.insert(dims::axis(axis, own.len() + 1)?, Dim::Fixed(1));
            Some(dims)
        }
        None => None,
    };
    Ok(vec![context.value(found, value.element_type, dims)])
}

fn squeeze(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let x = context.name(value)?;
    let mut axes = axes(call);
    if axes.is_empty() {
        // All axes of one element: which these are must not change from run to run.
        let known = value.known_dims()?;
        if known.iter().any(|dim| !matches!(dim, Dim::Fixed(_))) {
            let way_out = "name the axes that are to go";
            return Err(Refusal::new("leaving out axes of sizes that are not known", way_out));
        }
        let ones = (0..known.len()).filter(|&axis| known[axis] == Dim::Fixed(1));
        axes = ones.map(|axis| axis as i64).collect();
    }
    let found = if axes.is_empty() { x } else { context.with_axes("Squeeze", &x, &axes) };
    let dims = dims::reduced(value, &axes, false)?;
    Ok(vec![context.value(found, value.element_type, dims)])
}

fn axes(call: &Call<'_>) -> Vec<i64> {
    // The attribute has two names.
    let axes = call.node.attrs.ints("squeeze_dims");
    if axes.is_empty() { call.node.attrs.ints("axis") } else { axes }
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    if given.node.op == "ExpandDims" {
        return Ok(vec![shape::expand_dims(x, &[given.integer(1)?])?]);
    }
    let mut axes = given.attrs().ints("squeeze_dims");
    if axes.is_empty() {
        axes = given.attrs().ints("axis");
    }
    let axes = if axes.is_empty() { None } else { Some(axes.as_slice()) };
    Ok(vec![shape::squeeze(x, axes)?])
}
