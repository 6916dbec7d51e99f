//! `CONV_2D`: filters `[out, height, width, in]`; with fewer inputs than channels, in groups.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::layout::Window;
use super::super::model::Operator;
use super::super::products::{Operands, Sums};
use super::super::stop::{Stop, mismatch, refused};
use super::super::window::Grid;
use crate::emitter::node;

/// The window of an operator, by the numbers of its options: padding, then strides and dilations as
/// width and height.
pub(super) fn window(
    op: &Operator,
    [stride_w, stride_h]: [usize; 2],
    dilations: Option<[usize; 2]>,
) -> Result<Window, Stop> {
    let options = &op.options;
    let dilations = match dilations {
        Some([width, height]) => [options.size(height, 1)?, options.size(width, 1)?],
        None => [1, 1],
    };
    let strides = [options.size(stride_h, 1)?, options.size(stride_w, 1)?];
    Ok(Window { padding: options.padding(0)?, strides, dilations })
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, filter) = (op.input(0)?, op.input(1)?);
    let window = window(op, [1, 2], Some([4, 5]))?;
    let activation = cx.activation(op, 3)?;
    let sizes = cx.image_sizes(input)?;
    let (Some(channels), Some([_, height, width, depth])) =
        (cx.dims(input).last().copied().flatten(), four(cx.fixed_dims(filter)))
    else {
        let way_out = "export the model with a fixed number of channels";
        return Err(refused("a convolution of an unknown number of channels", way_out));
    };
    if depth == 0 || channels % depth != 0 {
        return Err(mismatch(format!("{channels} channels do not fit filters of {depth}")));
    }
    let x = cx.channels_first(input)?;
    let w = filters(cx, filter, &[0, 3, 1, 2])?;
    let mut inputs = vec![x, w];
    if let Some(bias) = op.optional(2) {
        inputs.push(cx.real(bias)?);
    }
    let conv = window.attributes(node("Conv", &inputs), [height, width], sizes);
    let conv = match channels / depth {
        1 => conv,
        groups => conv.with("group", groups as i64),
    };
    let y = cx.emitter.add(conv);
    let y = cx.activated(&y, activation);
    cx.give_image(op.output(0)?, &y)
}

/// Filters with their dimensions in another order: constants are written that way.
pub(super) fn filters(
    cx: &mut Converter<'_>,
    filter: usize,
    order: &[usize],
) -> Result<String, Stop> {
    if cx.is_constant(filter) {
        return cx.real_constant(filter, Some(order));
    }
    let real = cx.real(filter)?;
    Ok(cx.transpose(&real, order))
}

/// Four sizes.
pub(super) fn four(dims: Option<Vec<usize>>) -> Option<[usize; 4]> {
    <[usize; 4]>::try_from(dims?).ok()
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let window = window(op, [1, 2], Some([4, 5]))?;
    let images = |dims: &[usize]| dims.first().copied().unwrap_or(1);
    let operands = Operands::read(cx, (op.input(0)?, op.input(1)?), true, images)?;
    let &[out, height, width, depth] = operands.weight_dims.as_slice() else {
        let found = &operands.weight_dims;
        return Err(mismatch(format!("expected filters of 4 dimensions, found {found:?}")));
    };
    let grid = Grid::new(&operands.x_dims, [height, width], window)?;
    let groups = grid.channels.checked_div(depth).unwrap_or(0);
    if groups == 0 || groups * depth != grid.channels || !out.is_multiple_of(groups) {
        let channels = grid.channels;
        return Err(mismatch(format!("{channels} channels do not fit {out} filters of {depth}")));
    }
    let (each, k) = (out / groups, height * width * depth);
    cx.room(&[grid.positions(), k.max(out)])?;
    let mut parts = Vec::new();
    for group in 0..groups {
        let patches = grid.patches(&operands.x, group * depth, depth);
        let weights = &operands.weights[group * each * k..(group + 1) * each * k];
        parts.push(operands.products(&patches, weights, each, k)?);
    }
    let sums = interleaved(parts, each);
    let output = (op.output(0)?, grid.dims(out).as_slice().to_vec());
    operands.finish(cx, (output.0, &output.1), sums, op.optional(2), op.activation(3)?)
}

/// The channels of groups side by side.
fn interleaved(mut parts: Vec<Sums>, each: usize) -> Sums {
    fn join<T: Copy>(parts: &[&[T]], each: usize) -> Vec<T> {
        let rows = parts.first().map_or(0, |part| part.len() / each.max(1));
        let row = |row: usize| {
            parts.iter().flat_map(move |part| part[row * each..(row + 1) * each].iter().copied())
        };
        (0..rows).flat_map(row).collect()
    }
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    let steps: Vec<&[i64]> = parts
        .iter()
        .filter_map(|part| if let Sums::Steps(steps) = part { Some(&steps[..]) } else { None })
        .collect();
    if !steps.is_empty() {
        return Sums::Steps(join(&steps, each));
    }
    let reals: Vec<&[f32]> = parts
        .iter()
        .filter_map(|part| if let Sums::Real(values) = part { Some(&values[..]) } else { None })
        .collect();
    Sums::Real(join(&reals, each))
}
