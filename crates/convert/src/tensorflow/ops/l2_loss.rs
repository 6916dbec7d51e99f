//! `L2Loss`: half the sum of squares.

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::elementwise;
use crate::reference::reduce::{self, Over};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let sum = context.add_node(node("ReduceSumSquare", &[x]).with("keepdims", 0));
    let half = context.scalar("half", 0.5, value.element_type)?;
    let found = context.add("Mul", &[sum, half]);
    Ok(vec![context.value(found, value.element_type, Some(Vec::new()))])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let sum = reduce::sum_of_squares(given.input(0)?, Over::ALL)?;
    Ok(vec![elementwise::map(&sum, |sum| sum / 2.0)?])
}
