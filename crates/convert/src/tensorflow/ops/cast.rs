//! `Cast`: numbers as another type. Floats are cut off towards zero on their way to integers.

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::reference::elementwise;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let to = call.node.attrs.element_type("DstT");
    let to = to.filter(|to| to.data_type().is_some()).ok_or_else(|| {
        Refusal::new("a cast to a type that ONNX has not", "cast to a usual type")
    })?;
    let [x] = context.names(call)?;
    let found = if to == value.element_type { x } else { context.cast(&x, to) };
    Ok(vec![context.value(found, to, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let no_type = || EvaluateError::new("the type to cast to is not covered");
    let to = given.attrs().element_type("DstT").ok_or_else(no_type)?;
    Ok(vec![elementwise::cast(given.input(0)?, to)?])
}
