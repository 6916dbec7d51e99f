//! `TRANSPOSE_CONV`: each element of the input spreads a filter over the output. Filters are
//! `[out, height, width, in]`; the first input says the shape of the output. MediaPipe's
//! `Convolution2DTransposeBias` has the same arithmetic and its inputs in another order.

use bytes::Bytes;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::layout::Window;
use super::super::model::Operator;
use super::super::products::{Operands, Sums};
use super::super::schema::{Activation, Padding};
use super::super::stop::{Stop, mismatch, refused};
use super::conv::{filters, four, window};
use crate::emitter::node;

/// The parts of both operators.
struct Parts {
    data: usize,
    filter: usize,
    bias: Option<usize>,
    output: usize,
    window: Window,
    activation: i8,
}

fn builtin(op: &Operator) -> Result<Parts, Stop> {
    Ok(Parts {
        data: op.input(2)?,
        filter: op.input(1)?,
        bias: op.optional(3),
        output: op.output(0)?,
        window: window(op, [1, 2], None)?,
        activation: op.options.code(3)?,
    })
}

fn custom(op: &Operator) -> Result<Parts, Stop> {
    let [padding, width, height] = *numbers::<3>(&op.custom)? else {
        return Err(mismatch("its parameters are cut off"));
    };
    Ok(Parts {
        data: op.input(0)?,
        filter: op.input(1)?,
        bias: op.optional(2),
        output: op.output(0)?,
        window: Window {
            padding: native_padding(padding)?,
            strides: [positive(height)?, positive(width)?],
            dilations: [1, 1],
        },
        activation: 0,
    })
}

/// The first integers of a parameter struct in memory.
pub(super) fn numbers<const N: usize>(custom: &Bytes) -> Result<Box<[i32]>, Stop> {
    let numbers: Box<[i32]> =
        custom.as_chunks().0.iter().take(N).map(|&item| i32::from_le_bytes(item)).collect();
    match numbers.len() == N {
        true => Ok(numbers),
        false => Err(mismatch(format!("expected {N} numbers of parameters"))),
    }
}

/// The padding as it is in memory, which is not as it is in the file.
pub(super) fn native_padding(code: i32) -> Result<Padding, Stop> {
    match code {
        1 => Ok(Padding::Same),
        2 => Ok(Padding::Valid),
        _ => Err(mismatch(format!("expected a padding of 1 or 2, found {code}"))),
    }
}

/// A size that is at least 1.
pub(super) fn positive(value: i32) -> Result<usize, Stop> {
    let size = usize::try_from(value).ok().filter(|&size| size > 0);
    size.ok_or_else(|| mismatch(format!("expected a positive size, found {value}")))
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    write(cx, &builtin(op)?)
}

pub(super) fn convert_custom(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    write(cx, &custom(op)?)
}

fn write(cx: &mut Converter<'_>, parts: &Parts) -> Result<(), Stop> {
    let activation = Activation::from_code(parts.activation)
        .ok_or_else(|| refused("its fused activation", "use an activation of its own"))?;
    let ([Some(height), Some(width)], [Some(out_height), Some(out_width)], Some(filter)) = (
        cx.image_sizes(parts.data)?,
        cx.image_sizes(parts.output)?,
        four(cx.fixed_dims(parts.filter)),
    ) else {
        let way_out = "export the model with a fixed height and width";
        return Err(refused("a transposed convolution of an image of unknown size", way_out));
    };
    let kernel = [filter[1], filter[2]];
    let x = cx.channels_first(parts.data)?;
    let w = filters(cx, parts.filter, &[3, 0, 1, 2])?;
    let mut inputs = vec![x, w];
    if let Some(bias) = parts.bias {
        inputs.push(cx.real(bias)?);
    }
    let (mut pads, mut more) = ([0i64; 4], [0i64; 2]);
    for (axis, (size, out)) in [(height, out_height), (width, out_width)].into_iter().enumerate() {
        let before = parts.window.pads(axis, out, kernel).0 as i64;
        let full = (parts.window.strides[axis] * size.saturating_sub(1) + kernel[axis]) as i64;
        let after = full - before - out as i64;
        (pads[axis], pads[axis + 2]) = (before, after.max(0));
        more[axis] = (-after).max(0);
    }
    let conv = node("ConvTranspose", &inputs)
        .with("kernel_shape", kernel.map(|size| size as i64))
        .with("strides", parts.window.strides.map(|stride| stride as i64))
        .with("pads", pads);
    let conv = if more == [0, 0] { conv } else { conv.with("output_padding", more) };
    let y = cx.emitter.add(conv);
    let y = cx.activated(&y, activation);
    cx.give_image(parts.output, &y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let shape = cx.ints(op.input(0)?)?;
    let sizes = |axis: usize| shape.get(axis).and_then(|&size| usize::try_from(size).ok());
    let (Some(height), Some(width)) = (sizes(1), sizes(2)) else {
        return Err(mismatch(format!("expected the shape of an image, found {shape:?}")));
    };
    run(cx, &builtin(op)?, Some([height, width]))
}

pub(super) fn evaluate_custom(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    run(cx, &custom(op)?, None)
}

fn run(cx: &mut Evaluation<'_>, parts: &Parts, size: Option<[usize; 2]>) -> Result<(), Stop> {
    let images = |dims: &[usize]| dims.first().copied().unwrap_or(1);
    let operands = Operands::read(cx, (parts.data, parts.filter), true, images)?;
    let (&[batch, height, width, depth], &[out, kernel_h, kernel_w, depth_w]) =
        (operands.x_dims.as_slice(), operands.weight_dims.as_slice())
    else {
        return Err(mismatch("expected an image and filters of 4 dimensions"));
    };
    if depth != depth_w {
        return Err(mismatch(format!("{depth} channels do not fit filters of {depth_w}")));
    }
    let kernel = [kernel_h, kernel_w];
    // Without a stated shape, as MediaPipe has it.
    let natural = [0, 1].map(|axis| {
        let (size, stride) = ([height, width][axis], parts.window.strides[axis]);
        let cut = match parts.window.padding {
            Padding::Same => kernel[axis].saturating_sub(size.saturating_sub(1) % stride + 1),
            Padding::Valid => 0,
        };
        (stride * size.saturating_sub(1) + kernel[axis] - cut, cut / 2)
    });
    let sizes = size.unwrap_or(natural.map(|(size, _)| size));
    let before = match size {
        Some(size) => [0, 1].map(|axis| parts.window.pads(axis, size[axis], kernel).0),
        None => natural.map(|(_, before)| before),
    };
    let dims = [batch, sizes[0], sizes[1], out];
    cx.room(&dims)?;
    // What each pixel of the input gives, for each filter and place in it.
    let spread =
        operands.products(&operands.x, &operands.weights, out * kernel_h * kernel_w, depth)?;
    let places = Places { input: [height, width], kernel, window: parts.window, before, dims };
    let sums = match spread {
        Sums::Real(values) => {
            let sums = places.gather(|index| f64::from(values[index]));
            Sums::Real(sums.into_iter().map(|sum| sum as f32).collect())
        }
        Sums::Steps(values) => {
            let sums = places.gather(|index| values[index] as f64);
            Sums::Steps(sums.into_iter().map(|sum| sum as i64).collect())
        }
    };
    let activation = Activation::from_code(parts.activation).unwrap_or(Activation::None);
    operands.finish(cx, (parts.output, &dims), sums, parts.bias, activation)
}

/// Where the products of each pixel belong.
struct Places {
    input: [usize; 2],
    kernel: [usize; 2],
    window: Window,
    before: [usize; 2],
    /// Of the output.
    dims: [usize; 4],
}

impl Places {
    /// Adds up what pixels give; those products are `[pixel, out, kernel height, kernel width]`.
    fn gather(&self, product: impl Fn(usize) -> f64) -> Vec<f64> {
        let [batch, height, width, out] = self.dims;
        let area = self.kernel[0] * self.kernel[1];
        let mut sums = vec![0.0; batch * height * width * out];
        let mut pixel = 0;
        for image in 0..batch {
            for y in 0..self.input[0] {
                for x in 0..self.input[1] {
                    for tap in 0..area {
                        let at = self.target([y, x], [tap / self.kernel[1], tap % self.kernel[1]]);
                        let Some([row, column]) = at else { continue };
                        let target = ((image * height + row) * width + column) * out;
                        for channel in 0..out {
                            let from = (pixel * out + channel) * area + tap;
                            sums[target + channel] += product(from);
                        }
                    }
                    pixel += 1;
                }
            }
        }
        sums
    }

    fn target(&self, pixel: [usize; 2], tap: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let moved = pixel[axis] * self.window.strides[axis] + tap[axis];
            moved.checked_sub(self.before[axis]).filter(|&at| at < self.dims[axis + 1])
        };
        Some([along(0)?, along(1)?])
    }
}
