//! `ClipByValue`: numbers within two others, which broadcast.

use super::{Evaluated, Given};
use crate::reference::elementwise;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x, low, high] = context.names(call)?;
    let above = context.add("Max", &[x, low]);
    let found = context.add("Min", &[above, high]);
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let below = elementwise::min(given.input(0)?, given.input(2)?)?;
    Ok(vec![elementwise::max(&below, given.input(1)?)?])
}
