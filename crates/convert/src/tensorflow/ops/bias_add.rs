//! `BiasAdd`: a number for each channel. Channels are the last axis, or with `NCHW` the second.

use super::{Evaluated, Given};
use crate::reference::{elementwise, normalize};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x, mut bias] = context.names(call)?;
    let rank = value.rank()?;
    if call.node.attrs.text("data_format", "NHWC").starts_with("NC") && rank > 2 {
        let mut shape = vec![1i64; rank - 1];
        shape[0] = -1;
        bias = context.reshape(&bias, &shape);
    }
    let sum = context.add("Add", &[x, bias]);
    Ok(vec![context.value(sum, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, bias) = (given.input(0)?, given.input(1)?);
    if given.attrs().text("data_format", "NHWC").starts_with("NC") && x.rank() > 2 {
        let first = normalize::channels_last(x)?;
        let sum = elementwise::add(&first, bias)?;
        return Ok(vec![normalize::channels_first(&sum)?]);
    }
    Ok(vec![elementwise::add(x, bias)?])
}
