//! `DEPTHWISE_CONV_2D`: filters `[1, height, width, channels * multiplier]`; each channel of the
//! input is convolved by itself, with as many filters as the multiplier says.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::products::Operands;
use super::super::stop::{Stop, mismatch, refused};
use super::super::window::Grid;
use super::conv::{filters, four, window};
use crate::emitter::node;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, filter) = (op.input(0)?, op.input(1)?);
    let window = window(op, [1, 2], Some([5, 6]))?;
    let activation = cx.activation(op, 4)?;
    let sizes = cx.image_sizes(input)?;
    let (Some(channels), Some([_, height, width, out])) =
        (cx.dims(input).last().copied().flatten(), four(cx.fixed_dims(filter)))
    else {
        let way_out = "export the model with a fixed number of channels";
        return Err(refused("a convolution of an unknown number of channels", way_out));
    };
    if channels == 0 || out % channels != 0 {
        return Err(mismatch(format!("{channels} channels do not fit {out} filters")));
    }
    let x = cx.channels_first(input)?;
    let w = filters(cx, filter, &[3, 0, 1, 2])?;
    let mut inputs = vec![x, w];
    if let Some(bias) = op.optional(2) {
        inputs.push(cx.real(bias)?);
    }
    let conv = window.attributes(node("Conv", &inputs), [height, width], sizes);
    let y = cx.emitter.add(conv.with("group", channels as i64));
    let y = cx.activated(&y, activation);
    cx.give_image(op.output(0)?, &y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let window = window(op, [1, 2], Some([5, 6]))?;
    let images = |dims: &[usize]| dims.first().copied().unwrap_or(1);
    let operands = Operands::read(cx, (op.input(0)?, op.input(1)?), true, images)?;
    let &[1, height, width, out] = operands.weight_dims.as_slice() else {
        let found = &operands.weight_dims;
        return Err(mismatch(format!("expected one filter a channel, found shape {found:?}")));
    };
    let grid = Grid::new(&operands.x_dims, [height, width], window)?;
    let channels = grid.channels;
    if channels == 0 || !out.is_multiple_of(channels) {
        return Err(mismatch(format!("{channels} channels do not fit {out} filters")));
    }
    let multiplier = out / channels;
    cx.room(&[grid.positions(), out])?;
    let mut sums = vec![0f64; grid.positions() * out];
    grid.each(|position, place, at| {
        let pixel = &operands.x[at..at + channels];
        let weights = &operands.weights[place * out..(place + 1) * out];
        let sums = &mut sums[position * out..(position + 1) * out];
        for (channel, &value) in pixel.iter().enumerate() {
            for filter in channel * multiplier..(channel + 1) * multiplier {
                sums[filter] += f64::from(value) * f64::from(weights[filter]);
            }
        }
    });
    let sums = operands.sums(sums);
    let dims = grid.dims(out);
    operands.finish(cx, (op.output(0)?, &dims), sums, op.optional(2), op.activation(4)?)
}
