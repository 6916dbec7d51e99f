//! `LeakyRelu`: a slope below zero.

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::{activations, elementwise};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let alpha = call.node.attrs.float("alpha", 0.2);
    let found = context.add_node(node("LeakyRelu", &[x]).with("alpha", alpha));
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let alpha = f64::from(given.attrs().float("alpha", 0.2));
    Ok(vec![elementwise::map(given.input(0)?, |x| activations::leaky_relu(x, alpha))?])
}
