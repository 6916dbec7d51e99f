//! `Cumsum` and `Cumprod`: running sums and products along an axis.

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::index::{self, Running};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    if call.node.op == "Cumprod" {
        let way_out = "take the exponential of a running sum of logarithms";
        return Err(Refusal::new("a running product, which ONNX has not", way_out));
    }
    let value = call.input(0)?;
    let axis = context.integer(call.input(1)?, "an axis")?;
    let x = context.name(value)?;
    let axis = context.emitter.integer("axis", axis);
    let flag = |name| i64::from(call.node.attrs.bool(name, false));
    let written = node("CumSum", &[x, axis])
        .with("exclusive", flag("exclusive"))
        .with("reverse", flag("reverse"));
    let found = context.add_node(written);
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, axis) = (given.input(0)?, given.integer(1)?);
    let how = Running {
        exclusive: given.attrs().bool("exclusive", false),
        reverse: given.attrs().bool("reverse", false),
    };
    Ok(vec![match given.node.op.as_str() {
        "Cumsum" => index::cumsum(x, axis, how)?,
        _ => index::cumprod(x, axis, how)?,
    }])
}
