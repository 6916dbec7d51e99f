//! `LRN`: neighbouring channels dampen each other.

use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::normalize::{LocalResponse, local_response};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

fn parameters(attrs: &Attrs) -> LocalResponse {
    let radius = usize::try_from(attrs.int("depth_radius", 5)).unwrap_or(0).min(1 << 20);
    LocalResponse {
        before: radius,
        after: radius,
        bias: attrs.float("bias", 1.0).into(),
        alpha: attrs.float("alpha", 1.0).into(),
        beta: attrs.float("beta", 0.5).into(),
    }
}

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let how = parameters(&call.node.attrs);
    let [x] = context.names(call)?;
    if value.rank()? != 4 {
        return Err(Refusal::new("values of another rank than 4", "the file may be damaged"));
    }
    // The channels are the last axis, so that a pool over it adds up neighbours: rows are its
    // channels. Not every engine has LRN.
    let squares = context.add("Mul", &[&x, &x]);
    let size = 2 * how.before as i64 + 1;
    let pads = [0, how.before as i64, 0, how.after as i64];
    let pool = node("AveragePool", &[squares])
        .with("kernel_shape", [1, size])
        .with("pads", pads)
        .with("strides", [1, 1])
        .with("count_include_pad", 1);
    let means = context.add_node(pool);
    let factor = context.scalar("alpha", how.alpha * size as f64, value.element_type)?;
    let sums = context.add("Mul", &[means, factor]);
    let bias = context.scalar("bias", how.bias, value.element_type)?;
    let base = context.add("Add", &[sums, bias]);
    let beta = context.scalar("beta", how.beta, value.element_type)?;
    let divisor = context.add("Pow", &[base, beta]);
    let found = context.add("Div", &[x, divisor]);
    let dims: Option<Vec<Dim>> = value.dims.clone();
    Ok(vec![context.value(found, value.element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    Ok(vec![local_response(given.input(0)?, -1, parameters(given.attrs()))?])
}
