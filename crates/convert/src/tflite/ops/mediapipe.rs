//! Custom operators of MediaPipe: `MaxPoolingWithArgmax2D`, `MaxUnpooling2D`,
//! `TransformTensorBilinear` and its older form `TransformTensor`.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::layout::Window;
use super::super::model::Operator;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch, refused};
use super::super::window::Grid;
use super::transpose_conv::{native_padding, numbers, positive};
use crate::emitter::node;
use crate::reference::Array;

/// Windows of more places than this are none of a network's.
const PLACES_MAX: usize = 64;

/// Height and width of the window, how it moves, and the activation.
fn pool(op: &Operator) -> Result<([usize; 2], Window, Activation), Stop> {
    let found = numbers::<6>(&op.custom)?;
    let &[padding, stride_w, stride_h, width, height, activation] = &*found else {
        return Err(mismatch("its parameters are cut off"));
    };
    let kernel = [positive(height)?, positive(width)?];
    if kernel[0].saturating_mul(kernel[1]) > PLACES_MAX {
        return Err(refused(format!("a window of {kernel:?}"), "use a smaller window"));
    }
    let window = Window {
        padding: native_padding(padding)?,
        strides: [positive(stride_h)?, positive(stride_w)?],
        dilations: [1, 1],
    };
    let code = i8::try_from(activation).ok();
    let activation = code.and_then(Activation::from_code);
    Ok((kernel, window, activation.ok_or_else(|| mismatch("its activation is not known"))?))
}

/// What is added to an index, so that cutting it off finds it again.
const INDEX_SHIFT: f32 = 0.1;

/// Every place of the window is a strided slice of the image; the largest of them is taken.
pub(super) fn convert_pool(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (kernel, window, activation) = pool(op)?;
    let input = op.input(0)?;
    let [Some(height), Some(width)] = cx.image_sizes(input)? else {
        let way_out = "export the model with a fixed height and width";
        return Err(refused("an image of unknown size", way_out));
    };
    let sizes = [height, width];
    let pads = [0, 1].map(|axis| window.pads(axis, sizes[axis], kernel));
    let outputs = [0, 1].map(|axis| window.positions(axis, sizes[axis], kernel));
    let mut x = cx.real(input)?;
    if pads != [(0, 0), (0, 0)] {
        let [(top, bottom), (left, right)] = pads.map(|(a, b)| (a as i64, b as i64));
        let pads = cx.emitter.integers("pads", &[0, top, left, 0, 0, bottom, right, 0]);
        let least = cx.emitter.scalar("least", f32::MIN);
        x = cx.emitter.add(node("Pad", &[x, pads, least]).with("mode", "constant"));
    }
    let axes = cx.emitter.integers("axes", &[1, 2]);
    let steps = window.strides.map(|stride| stride as i64);
    let steps = cx.emitter.integers("steps", &steps);
    let front = cx.emitter.integers("front", &[0]);
    let mut places = Vec::new();
    for place in 0..kernel[0] * kernel[1] {
        let tap = [place / kernel[1], place % kernel[1]];
        let end = |axis: usize| {
            (tap[axis] + outputs[axis].saturating_sub(1) * window.strides[axis] + 1) as i64
        };
        let starts = cx.emitter.integers("starts", &tap.map(|at| at as i64));
        let ends = cx.emitter.integers("ends", &[end(0), end(1)]);
        let slice = cx.emitter.add(node("Slice", &[&x, &starts, &ends, &axes, &steps]));
        places.push(cx.emitter.add(node("Unsqueeze", &[&slice, &front])));
    }
    let stacked = cx.emitter.add(node("Concat", &places).with("axis", 0i64));
    let largest = node("ReduceMax", &[&stacked, &front]).with("keepdims", 0i64);
    let largest = cx.emitter.add(largest);
    let largest = cx.activated(&largest, activation);
    cx.give(op.output(0)?, largest)?;
    let which = node("ArgMax", &[stacked]).with("axis", 0i64).with("keepdims", 0i64);
    let which = cx.emitter.add(which);
    let which = cx.cast(&which, ElementType::Float32);
    let shift = cx.emitter.scalar("shift", INDEX_SHIFT);
    let which = cx.emitter.add(node("Add", &[which, shift]));
    cx.give(op.output(1)?, which)
}

pub(super) fn evaluate_pool(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (kernel, window, activation) = pool(op)?;
    let x = cx.real(op.input(0)?)?;
    let values = x.as_floats()?;
    let grid = Grid::new(x.dims(), kernel, window)?;
    let channels = grid.channels;
    let mut largest = vec![f32::MIN; grid.positions() * channels];
    let mut which = vec![INDEX_SHIFT; largest.len()];
    grid.each(|position, place, at| {
        for channel in 0..channels {
            let target = position * channels + channel;
            if values[at + channel] > largest[target] {
                largest[target] = values[at + channel];
                which[target] = place as f32 + INDEX_SHIFT;
            }
        }
    });
    let largest = largest.into_iter().map(|value| activation.apply(value)).collect();
    let dims = grid.dims(channels);
    cx.give_real(op.output(0)?, Array::floats(&dims, largest)?)?;
    cx.give_real(op.output(1)?, Array::floats(&dims, which)?)
}

/// Each place of the window shows the value where the index names it, and 0 elsewhere.
pub(super) fn convert_unpool(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (kernel, window, _) = pool(op)?;
    if window.strides != kernel {
        return Err(refused("windows that overlap", "use strides as large as the window"));
    }
    let input = op.input(0)?;
    let (Some(height), Some(width)) = (cx.image_sizes(input)?[0], cx.image_sizes(input)?[1]) else {
        let way_out = "export the model with a fixed height and width";
        return Err(refused("an image of unknown size", way_out));
    };
    let Some(channels) = cx.dims(input).last().copied().flatten() else {
        return Err(mismatch("the number of channels is not known"));
    };
    let x = cx.real(input)?;
    let indices = cx.real(op.input(1)?)?;
    let indices = cx.cast(&indices, ElementType::Int32);
    let zero = cx.emitter.scalar("zero", 0.0);
    let mut places = Vec::new();
    for place in 0..kernel[0] * kernel[1] {
        let number = super::fill::number("place", ElementType::Int32, place as i64);
        let number = cx.emitter.constant(number);
        let here = cx.emitter.add(node("Equal", &[&indices, &number]));
        places.push(cx.emitter.add(node("Where", &[&here, &x, &zero])));
    }
    let y = cx.emitter.add(node("Concat", &places).with("axis", 3i64));
    let [h, w, c, kh, kw] = [height, width, channels, kernel[0], kernel[1]].map(|size| size as i64);
    let split = cx.emitter.integers("split", &[-1, h, w, kh, kw, c]);
    let y = cx.emitter.add(node("Reshape", &[y, split]));
    let y = cx.transpose(&y, &[0, 1, 3, 2, 4, 5]);
    let joined = cx.emitter.integers("joined", &[-1, h * kh, w * kw, c]);
    let y = cx.emitter.add(node("Reshape", &[y, joined]));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate_unpool(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (kernel, window, _) = pool(op)?;
    let x = cx.real(op.input(0)?)?;
    let indices = cx.real(op.input(1)?)?;
    let &[batch, height, width, channels] = x.dims() else {
        return Err(mismatch("expected an image"));
    };
    let dims = [batch, height * kernel[0], width * kernel[1], channels];
    let mut result = vec![0.0; cx.room(&dims)?];
    let before = [0, 1].map(|axis| window.pads(axis, dims[axis + 1], kernel).0);
    for (at, (&value, &index)) in x.as_floats()?.iter().zip(indices.as_floats()?).enumerate() {
        let (channel, pixel) = (at % channels, at / channels);
        let (column, row, image) = (pixel % width, pixel / width % height, pixel / width / height);
        let index = index as usize;
        let y = (row * window.strides[0] + index / kernel[1]).checked_sub(before[0]);
        let x = (column * window.strides[1] + index % kernel[1]).checked_sub(before[1]);
        if let (Some(y), Some(x)) = (y, x)
            && y < dims[1]
            && x < dims[2]
        {
            result[((image * dims[1] + y) * dims[2] + x) * channels + channel] = value;
        }
    }
    cx.give_real(op.output(0)?, Array::floats(&dims, result)?)
}

/// Half a pixel, by which the newer form counts from the middle of pixels.
fn half(op: &Operator) -> f32 {
    if op.kind == "TransformTensor" { 0.0 } else { 0.5 }
}

/// An image seen through a matrix: `GridSample` at the places that the matrix gives; what lies
/// outside is 0.
pub(super) fn convert_transform(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, matrix, output) = (op.input(0)?, op.input(1)?, op.output(0)?);
    let ([Some(height), Some(width)], [Some(rows), Some(columns)]) =
        (cx.image_sizes(input)?, cx.image_sizes(output)?)
    else {
        let way_out = "export the model with a fixed height and width";
        return Err(refused("an image of unknown size", way_out));
    };
    if height < 2 || width < 2 {
        return Err(refused("an image of a single line", "transform larger images"));
    }
    let half = half(op);
    let image = cx.channels_first(input)?;
    let matrix = cx.real(matrix)?;
    // Of the matrix the rows for x and y, and the columns for x, y and what is added.
    let shape = cx.emitter.integers("shape", &[-1]);
    let flat = cx.emitter.add(node("Reshape", &[matrix, shape]));
    let picked = cx.emitter.integers("picked", &[0, 1, 3, 4, 5, 7]);
    let flat = cx.emitter.add(node("Gather", &[flat, picked]).with("axis", 0i64));
    let shape = cx.emitter.integers("shape", &[2, 3]);
    let matrix = cx.emitter.add(node("Reshape", &[flat, shape]));
    let points = rows * columns;
    let mut grid = vec![0f32; 3 * points];
    for point in 0..points {
        grid[point] = (point % columns) as f32 + half;
        grid[points + point] = (point / columns) as f32 + half;
        grid[2 * points + point] = 1.0;
    }
    let grid = cx.emitter.floats("grid", &[3, points], &grid);
    let places = cx.emitter.add(node("MatMul", &[matrix, grid]));
    let shift = cx.emitter.scalar("half", half);
    let places = cx.emitter.add(node("Sub", &[places, shift]));
    let mask = inside(cx, &places, [height, width], [rows, columns]);
    // From pixels to -1 and 1 at the outermost ones.
    let scale = [2.0 / (width - 1) as f32, 2.0 / (height - 1) as f32];
    let scale = cx.emitter.floats("scale", &[2, 1], &scale);
    let one = cx.emitter.scalar("one", 1.0);
    let places = cx.emitter.add(node("Mul", &[places, scale]));
    let places = cx.emitter.add(node("Sub", &[places, one]));
    let places = cx.transpose(&places, &[1, 0]);
    let shape = cx.emitter.integers("shape", &[1, rows as i64, columns as i64, 2]);
    let places = cx.emitter.add(node("Reshape", &[places, shape]));
    let sample = node("GridSample", &[image, places])
        .with("align_corners", 1i64)
        .with("mode", "bilinear")
        .with("padding_mode", "zeros");
    let y = cx.emitter.add(sample);
    let y = cx.emitter.add(node("Mul", &[y, mask]));
    cx.give_image(output, &y)
}

/// 1 for places inside of an image of `sizes`, 0 for others.
fn inside(
    cx: &mut Converter<'_>,
    places: &str,
    [height, width]: [usize; 2],
    [rows, columns]: [usize; 2],
) -> String {
    let last = [(width - 1) as f32, (height - 1) as f32];
    let last = cx.emitter.floats("last", &[2, 1], &last);
    let zero = cx.emitter.scalar("zero", 0.0);
    let not_before = cx.emitter.add(node("GreaterOrEqual", &[places, &zero]));
    let not_behind = cx.emitter.add(node("LessOrEqual", &[places, &last]));
    let both = cx.emitter.add(node("And", &[not_before, not_behind]));
    let both = cx.cast(&both, ElementType::Float32);
    let axes = cx.emitter.integers("axes", &[0]);
    let both = cx.emitter.add(node("ReduceMin", &[both, axes]).with("keepdims", 0i64));
    let shape = cx.emitter.integers("shape", &[1, 1, rows as i64, columns as i64]);
    cx.emitter.add(node("Reshape", &[both, shape]))
}

pub(super) fn evaluate_transform(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let x = cx.real(op.input(0)?)?;
    let matrix = cx.real(op.input(1)?)?;
    let &[_, height, width, channels] = x.dims() else { return Err(mismatch("expected an image")) };
    let dims = cx.tensor(output).shape.clone();
    let (&[1, rows, columns, _], Some(matrix)) = (dims.as_slice(), matrix.as_floats()?.get(..8))
    else {
        return Err(mismatch("expected the shape of an image and a matrix"));
    };
    let half = half(op);
    let values = x.as_floats()?;
    let mut result = Vec::with_capacity(rows * columns * channels);
    for row in 0..rows {
        for column in 0..columns {
            let (px, py) = (column as f32 + half, row as f32 + half);
            let along = |line: &[f32]| line[0] * px + line[1] * py + line[3] - half;
            let (sx, sy) = (along(&matrix[..4]), along(&matrix[4..]));
            let outside = sx < 0.0
                || sy < 0.0
                || sx > (width.saturating_sub(1)) as f32
                || sy > (height.saturating_sub(1)) as f32;
            for channel in 0..channels {
                let at = |y: usize, x: usize| match y < height && x < width {
                    true => values[(y * width + x) * channels + channel],
                    false => 0.0,
                };
                if outside || sx.is_nan() || sy.is_nan() {
                    result.push(0.0);
                    continue;
                }
                let (x0, y0) = (sx.floor() as usize, sy.floor() as usize);
                let (right, lower) = (sx - sx.floor(), sy - sy.floor());
                let top = (1.0 - right) * at(y0, x0) + right * at(y0, x0 + 1);
                let bottom = (1.0 - right) * at(y0 + 1, x0) + right * at(y0 + 1, x0 + 1);
                result.push(lower * bottom + (1.0 - lower) * top);
            }
        }
    }
    cx.give_real(output, Array::floats(&[1, rows, columns, channels], result)?)
}
