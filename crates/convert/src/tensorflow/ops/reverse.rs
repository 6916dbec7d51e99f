//! `ReverseV2` and `ReverseSequence`: axes turned around, wholly or up to a length.

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let found = match call.node.op.as_str() {
        "ReverseV2" => {
            let axes = context.integers(call.input(1)?, "an axis")?;
            let x = context.name(value)?;
            let count = axes.len();
            match count {
                0 => x,
                _ => {
                    let starts = context.emitter.integers("starts", &vec![-1; count]);
                    let ends = context.emitter.integers("ends", &vec![i64::MIN; count]);
                    let axes = context.emitter.integers("axes", &axes);
                    let steps = context.emitter.integers("steps", &vec![-1; count]);
                    context.add("Slice", &[x, starts, ends, axes, steps])
                }
            }
        }
        _ => {
            let rank = value.rank()?;
            let time = dims::axis(call.node.attrs.int("seq_dim", 1), rank)?;
            let batch = dims::axis(call.node.attrs.int("batch_dim", 0), rank)?;
            if time > 1 || batch > 1 {
                let way_out = "move the axes of time and batch to the front";
                return Err(Refusal::new("sequences along other axes than the first two", way_out));
            }
            let x = context.name(value)?;
            let lengths = context.shape(call.input(1)?)?;
            let written = node("ReverseSequence", &[x, lengths]);
            let written = written.with("time_axis", time as i64);
            context.add_node(written.with("batch_axis", batch as i64))
        }
    };
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    if given.node.op == "ReverseV2" {
        return Ok(vec![shape::flip(x, &given.integers(1)?)?]);
    }
    let time = given.attrs().int("seq_dim", 1);
    let batch = given.attrs().int("batch_dim", 0);
    let lengths = given.integers(1)?;
    let images = shape::unstack(x, batch)?;
    if images.len() != lengths.len() {
        return Err(EvaluateError::new("there is not one length for each sequence"));
    }
    let within = if batch < time { time - 1 } else { time };
    let mut turned = Vec::new();
    for (image, &length) in images.iter().zip(&lengths) {
        let size = image.dims()[crate::reference::layout::axis(within, image.rank())?];
        let length = usize::try_from(length).unwrap_or(0).min(size);
        let parts = shape::split(image, within, &[length, size - length])?;
        let [head, tail] = parts.as_slice() else { continue };
        turned.push(shape::concat(&[&shape::flip(head, &[within])?, tail], within)?);
    }
    let turned: Vec<&Array> = turned.iter().collect();
    Ok(vec![shape::stack(&turned, batch)?])
}
