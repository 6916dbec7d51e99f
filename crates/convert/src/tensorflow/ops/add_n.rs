//! `AddN`: the sum of several values of one shape.

use super::{Evaluated, Given};
use crate::reference::elementwise;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let first = call.input(0)?;
    let (element_type, dims) = (first.element_type, first.dims.clone());
    let mut sum = context.name(first)?;
    for value in call.inputs.get(1..).unwrap_or_default() {
        let name = context.name(value)?;
        sum = context.add("Add", &[sum, name]);
    }
    Ok(vec![context.value(sum, element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let mut sum = given.input(0)?.clone();
    for array in given.inputs.get(1..).unwrap_or_default() {
        sum = elementwise::add(&sum, array)?;
    }
    Ok(vec![sum])
}
