//! `RESIZE_BILINEAR` and `RESIZE_NEAREST_NEIGHBOR`: images in another size.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;
use crate::reference::Array;

/// How the options say that positions are counted.
#[derive(Clone, Copy, Debug)]
struct Positions {
    align_corners: bool,
    half_pixel: bool,
    is_linear: bool,
}

fn positions(op: &Operator) -> Result<Positions, Stop> {
    let is_linear = op.kind == "RESIZE_BILINEAR";
    // Two deprecated options come first in one of them.
    let first = if is_linear { 2 } else { 0 };
    Ok(Positions {
        align_corners: op.options.bool(first)?,
        half_pixel: op.options.bool(first + 1)?,
        is_linear,
    })
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let input = op.input(0)?;
    let positions = positions(op)?;
    let sizes = cx.required(op, 1, "a size")?;
    let (coordinates, nearest) = match (positions.align_corners, positions.half_pixel) {
        (true, false) => ("align_corners", "round_prefer_ceil"),
        // Half a pixel more, rounded down, is rounded up.
        (false, true) => ("half_pixel", "round_prefer_ceil"),
        (false, false) => ("asymmetric", "floor"),
        (true, true) => {
            let way_out = "resize with one of both";
            return Err(refused("corners aligned and half pixels at once", way_out));
        }
    };
    let x = cx.channels_first(input)?;
    let shape = wanted_shape(cx, input, &x, &sizes)?;
    let resize = node("Resize", &[x.as_str(), "", "", &shape])
        .with("coordinate_transformation_mode", coordinates)
        .with("mode", if positions.is_linear { "linear" } else { "nearest" });
    let resize = match positions.is_linear {
        true => resize,
        false => resize.with("nearest_mode", nearest),
    };
    let y = cx.emitter.add(resize);
    cx.give_image(op.output(0)?, &y)
}

/// The shape of the result, channels first: a free batch is taken from the image.
fn wanted_shape(
    cx: &mut Converter<'_>,
    input: usize,
    image: &str,
    sizes: &[i64],
) -> Result<String, Stop> {
    let &[height, width] = sizes else {
        return Err(mismatch(format!("expected height and width, found {sizes:?}")));
    };
    let dims = cx.dims(input);
    let (batch, channels) = (dims.first().copied().flatten(), dims.last().copied().flatten());
    if let (Some(batch), Some(channels)) = (batch, channels) {
        return Ok(cx.emitter.integers("sizes", &[batch as i64, channels as i64, height, width]));
    }
    let head = cx.emitter.add(node("Shape", &[image]).with("start", 0i64).with("end", 2i64));
    let tail = cx.emitter.integers("sizes", &[height, width]);
    Ok(cx.emitter.add(node("Concat", &[head, tail]).with("axis", 0i64)))
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let positions = positions(op)?;
    let sizes = super::fill::shape(&cx.ints(op.input(1)?)?)?;
    if positions.is_linear && cx.quantized(op.input(0)?).is_some() {
        return integers(cx, op, &positions, &sizes);
    }
    let x = cx.real(op.input(0)?)?;
    let (&[batch, height, width, channels], &[new_height, new_width]) = (x.dims(), &sizes[..])
    else {
        return Err(mismatch("expected an image and its new height and width"));
    };
    let dims = [batch, new_height, new_width, channels];
    let count = cx.room(&dims)?;
    let (rows, columns) = (positions.taps(height, new_height), positions.taps(width, new_width));
    let values = x.as_floats()?;
    let mut result = Vec::with_capacity(count);
    for image in 0..batch {
        let at = |y: usize, x: usize, c: usize| {
            f64::from(values[((image * height + y) * width + x) * channels + c])
        };
        for row in &rows {
            for column in &columns {
                for c in 0..channels {
                    let top = at(row.low, column.low, c) * (1.0 - column.share)
                        + at(row.low, column.high, c) * column.share;
                    let bottom = at(row.high, column.low, c) * (1.0 - column.share)
                        + at(row.high, column.high, c) * column.share;
                    result.push((top * (1.0 - row.share) + bottom * row.share) as f32);
                }
            }
        }
    }
    cx.give_real(op.output(0)?, Array::floats(&dims, result)?)
}

/// The two elements beside a position, and the share of the higher one.
struct Tap {
    low: usize,
    high: usize,
    share: f64,
}

impl Positions {
    /// Where each of `new` elements lies among `old` ones.
    fn taps(&self, old: usize, new: usize) -> Vec<Tap> {
        let scale = match self.align_corners && new > 1 {
            true => (old.saturating_sub(1)) as f32 / (new - 1) as f32,
            false => old as f32 / new as f32,
        };
        let last = old.saturating_sub(1);
        let tap = |index: usize| {
            if !self.is_linear {
                let offset = if self.half_pixel { 0.5 } else { 0.0 };
                let at = (index as f32 + offset) * scale;
                let at = if self.align_corners { at.round() } else { at.floor() };
                let at = (at.max(0.0) as usize).min(last);
                return Tap { low: at, high: at, share: 0.0 };
            }
            let at = match self.half_pixel {
                true => (index as f32 + 0.5) * scale - 0.5,
                false => index as f32 * scale,
            };
            let low = (at.floor().max(0.0) as usize).min(last);
            let high = (at.ceil().max(0.0) as usize).min(last);
            Tap { low, high, share: f64::from(at - low as f32).clamp(0.0, 1.0) }
        };
        (0..new).map(tap).collect()
    }
}

/// A place between two elements in 1024ths.
struct Place {
    low: usize,
    high: usize,
    /// How far it is from the lower one.
    share: i64,
}

/// 1 in the fixed point of the kernels of integers.
const WHOLE: i64 = 1 << 10;

impl Positions {
    /// Where each of `new` elements lies among `old` ones.
    fn places(&self, old: usize, new: usize) -> Vec<Place> {
        let (old, count) = (old as i64, new as i64);
        let scale = match self.align_corners && new > 1 {
            true => (WHOLE * (old - 1) + (count - 1) / 2) / (count - 1),
            false => (WHOLE * old + count / 2) / count.max(1),
        };
        let place = |index: i64| {
            let at = match self.half_pixel {
                true => index * scale + scale / 2 - WHOLE / 2,
                false => index * scale,
            };
            let low = (at / WHOLE).clamp(0, (old - 1).max(0));
            let high = ((at + WHOLE - 1) / WHOLE).clamp(0, (old - 1).max(0));
            Place { low: low as usize, high: high as usize, share: at - WHOLE * low }
        };
        (0..count).map(place).collect()
    }
}

/// Bilinear between integers, whose scale stays: shares of 10 bits, halves away from zero.
fn integers(
    cx: &mut Evaluation<'_>,
    op: &Operator,
    positions: &Positions,
    sizes: &[usize],
) -> Result<(), Stop> {
    let x = cx.raw(op.input(0)?)?;
    let (&[batch, height, width, channels], &[new_height, new_width]) = (x.dims(), sizes) else {
        return Err(mismatch("expected an image and its new height and width"));
    };
    let dims = [batch, new_height, new_width, channels];
    let mut result = Vec::with_capacity(cx.room(&dims)?);
    let (rows, columns) =
        (positions.places(height, new_height), positions.places(width, new_width));
    let values = x.as_ints()?;
    for image in 0..batch {
        let at = |y: usize, x: usize, c: usize| {
            values[((image * height + y) * width + x) * channels + c]
        };
        for row in &rows {
            for column in &columns {
                for c in 0..channels {
                    let across = |y: usize| {
                        at(y, column.low, c) * (WHOLE - column.share)
                            + at(y, column.high, c) * column.share
                    };
                    let sum = across(row.low) * (WHOLE - row.share) + across(row.high) * row.share;
                    let half = WHOLE * WHOLE / 2;
                    let sum = if sum > 0 { sum + half } else { sum - half };
                    result.push(sum / (WHOLE * WHOLE));
                }
            }
        }
    }
    cx.give_steps(op.output(0)?, &dims, result)
}
