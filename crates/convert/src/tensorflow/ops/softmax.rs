//! `Softmax` and `LogSoftmax`, along the last axis.

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::softmax;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let found = context.add_node(node(&call.node.op, &[x]).with("axis", -1));
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    Ok(vec![match given.node.op.as_str() {
        "Softmax" => softmax::softmax(x, -1)?,
        _ => softmax::log_softmax(x, -1)?,
    }])
}
