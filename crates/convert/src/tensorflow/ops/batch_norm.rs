//! `FusedBatchNorm`: what training found of each channel is taken out of it.

use std::rc::Rc;

use super::layout::Layout;
use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::normalize::{Affine, Statistics, batch_norm};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    if call.node.attrs.bool("is_training", true) {
        let way_out = "export the model for inference (training=False)";
        return Err(Refusal::new("normalization by the batch itself (is_training)", way_out));
    }
    let value = call.input(0)?;
    let layout = Layout::of(&call.node.attrs);
    let (x, dims) = layout.channels_first(context, value)?;
    let [_, scale, offset, mean, variance] = context.names(call)?;
    let epsilon = call.node.attrs.float("epsilon", 1e-4);
    let written = node("BatchNormalization", &[x, scale, offset, mean, variance]);
    let found = context.add_node(written.with("epsilon", epsilon));
    let result = layout.back(context, found, value.element_type, dims);
    Ok(vec![result, Rc::clone(call.input(3)?), Rc::clone(call.input(4)?)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    if given.attrs().bool("is_training", true) {
        return Err(EvaluateError::new("normalization by the batch itself is not covered"));
    }
    let x = given.input(0)?;
    let axis = if Layout::of(given.attrs()) == Layout::Last { -1 } else { 1 };
    let (mean, variance) = (given.input(3)?, given.input(4)?);
    let epsilon = f64::from(given.attrs().float("epsilon", 1e-4));
    let affine = Affine { scale: Some(given.input(1)?), bias: Some(given.input(2)?) };
    let found = batch_norm(x, axis, Statistics { mean, variance, epsilon }, affine)?;
    Ok(vec![found, mean.clone(), variance.clone()])
}
