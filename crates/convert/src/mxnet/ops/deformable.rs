//! `_contrib_DeformableConvolution` and `_contrib_ModulatedDeformableConvolution`: convolutions
//! whose kernels look where offsets tell them to, at values between elements.
//!
//! The first of the two takes a place outside of the image for 0 and repeats the border within; the
//! modulated one lets the image fade out over one element.
//!
//! In ONNX: the image sampled at all these places (`GridSample`), as an image with a channel for
//! each place of the kernel, through a convolution of one element.

use rayon::prelude::*;

use super::super::site::Site;
use super::convolution::Window;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, convolution};

pub(super) const OPERATOR: Operator = Operator {
    names: &["_contrib_DeformableConvolution", "_contrib_ModulatedDeformableConvolution"],
    infer,
    convert,
    evaluate,
};

struct Deformable {
    window: Window,
    /// Channels that share offsets are one group.
    groups: usize,
    modulated: bool,
    bias: bool,
}

impl Deformable {
    fn of(op: &Op<'_>) -> Result<Deformable, Problem> {
        let window = Window::of(op)?;
        if window.kernel.len() != 2 || window.channels_last {
            return Err(Problem::refused("another layout than NCHW", "export as NCHW"));
        }
        let groups = op.attributes.count_or("num_deformable_group", 1)?;
        let modulated = op.operator.contains("Modulated");
        let bias = !op.attributes.flag_or("no_bias", false)?;
        Ok(Deformable { window, groups, modulated, bias })
    }

    /// Places of a kernel.
    fn places(&self) -> usize {
        self.window.kernel.iter().product()
    }

    fn output(&self, axis: usize, size: usize) -> Result<usize, Problem> {
        let padded = size + 2 * self.window.pads[axis];
        let room = padded.checked_sub(self.window.reach(axis));
        let room = room.ok_or_else(|| Problem::shape("a kernel larger than the image"))?;
        Ok(room / self.window.strides[axis] + 1)
    }

    /// Where a place of the kernel looks without offset: at an output along an axis.
    fn base(&self, axis: usize, output: usize, kernel: usize) -> f64 {
        (output * self.window.strides[axis] + kernel * self.window.dilations[axis]) as f64
            - self.window.pads[axis] as f64
    }

    /// The numbers of the weight and of the bias among the inputs.
    fn weight(&self) -> usize {
        if self.modulated { 3 } else { 2 }
    }
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let kind = Deformable::of(op)?;
    let (image, offset) = (info(inputs, 0)?, info(inputs, 1)?);
    let weight = info(inputs, kind.weight())?;
    let [batch, channels, height, width] = image.dims.as_slice() else {
        return Err(Problem::shape(format!("an image of shape {:?}", image.dims)));
    };
    let size = [kind.output(0, *height)?, kind.output(1, *width)?];
    let places = kind.places() * kind.groups;
    let inner = channels / kind.window.groups.max(1);
    let expected = [&[kind.window.filters, inner], kind.window.kernel.as_slice()].concat();
    if kind.groups == 0
        || channels % kind.groups != 0
        || offset.dims != [*batch, 2 * places, size[0], size[1]]
        || (kind.modulated && info(inputs, 2)?.dims != [*batch, places, size[0], size[1]])
        || weight.dims != expected
    {
        let (offset, weight) = (&offset.dims, &weight.dims);
        return Err(Problem::shape(format!("offsets {offset:?} and weights {weight:?}")));
    }
    Ok(vec![Info::new(image.kind, &[*batch, kind.window.filters, size[0], size[1]])])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let kind = Deformable::of(&site.op)?;
    let number = site.kind()?;
    let (channels, height, width) = (site.size(0, 1)?, site.size(0, 2)?, site.size(0, 3)?);
    let size = [kind.output(0, height)?, kind.output(1, width)?];
    let [rows, columns] = size.map(|size| size as i64);
    let (places, inner) = (kind.places() as i64, (channels / kind.groups) as i64);
    let (x, offset) = (site.input(0)?, site.input(1)?);
    let x = site.reshape(&x, &[-1, inner, height as i64, width as i64]);
    // [batch * groups, places, (y, x), rows, columns]
    let offset = site.reshape(&offset, &[-1, places, 2, rows, columns]);
    let (mut sides, mut insides) = (Vec::new(), Vec::new());
    for (axis, full) in [(1, width), (0, height)] {
        let part = site.slice(&offset, 2, axis as i64, axis as i64 + 1);
        let part = site.squeeze(&part, &[2]);
        let base = bases(&kind, axis, size);
        let base = site.numbers("base", number, &[places as usize, size[0], size[1]], &base);
        let at = site.op("Add", &[&part, &base]);
        if !kind.modulated {
            let (zero, full) =
                (site.number("zero", number, 0.0), site.number("full", number, full as f64));
            let (behind, before) =
                (site.op("GreaterOrEqual", &[&at, &zero]), site.op("Less", &[&at, &full]));
            insides.push(site.op("And", &[&behind, &before]));
        }
        // GridSample counts from -1 to 1, from edge to edge: (2 x + 1) / size - 1.
        let scale = site.number("scale", number, 2.0 / full as f64);
        let shift = site.number("shift", number, 1.0 / full as f64 - 1.0);
        let at = site.op("Mul", &[&at, &scale]);
        let at = site.op("Add", &[&at, &shift]);
        sides.push(site.unsqueeze(&at, &[4]));
    }
    let grid = site.add(node("Concat", &sides).with("axis", 4));
    let grid = site.reshape(&grid, &[-1, places * rows, columns, 2]);
    let sampled = node("GridSample", &[x, grid])
        .with("mode", "bilinear")
        .with("padding_mode", if kind.modulated { "zeros" } else { "border" })
        .with("align_corners", 0);
    let mut sampled = site.add(sampled);
    let mask = match insides.as_slice() {
        [one, two] => {
            let inside = site.op("And", &[one, two]);
            Some(site.cast(&inside, number))
        }
        _ if kind.modulated => Some(site.input(2)?),
        _ => None,
    };
    if let Some(mask) = mask {
        let mask = site.reshape(&mask, &[-1, 1, places * rows, columns]);
        sampled = site.op("Mul", &[&sampled, &mask]);
    }
    let sampled = site.reshape(&sampled, &[-1, channels as i64 * places, rows, columns]);
    let weight = site.input(kind.weight())?;
    let filters = kind.window.filters as i64;
    let weight = site.reshape(&weight, &[filters, -1, 1, 1]);
    let mut inputs = vec![sampled, weight];
    if kind.bias {
        inputs.push(site.input(kind.weight() + 1)?);
    }
    let found =
        node("Conv", &inputs).with("kernel_shape", [1, 1]).with("group", kind.window.groups as i64);
    Ok(vec![site.add(found)])
}

/// Where all places of the kernel look without offsets.
fn bases(kind: &Deformable, axis: usize, size: [usize; 2]) -> Vec<f64> {
    let mut found = Vec::new();
    for place in 0..kind.places() {
        let kernel = [place / kind.window.kernel[1], place % kind.window.kernel[1]];
        for row in 0..size[0] {
            for column in 0..size[1] {
                found.push(kind.base(axis, [row, column][axis], kernel[axis]));
            }
        }
    }
    found
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let kind = Deformable::of(op)?;
    let (image, offset) = (at(inputs, 0)?, at(inputs, 1)?);
    let [batch, channels, height, width] = image.dims() else {
        return Err(EvaluateError::new("expected an image"));
    };
    let (batch, channels, height, width) = (*batch, *channels, *height, *width);
    let size = [kind.output(0, height)?, kind.output(1, width)?];
    let (places, cells) = (kind.places(), size[0] * size[1]);
    let values = image.as_floats()?;
    let offsets = offset.as_floats()?;
    let mask = if kind.modulated { Some(at(inputs, 2)?.as_floats()?) } else { None };
    // The image as one with a channel for each channel and place.
    let mut looked = vec![0.0; batch * channels * places * cells];
    looked.par_chunks_mut((places * cells).max(1)).enumerate().for_each(|(plane, looked)| {
        let (number, channel) = (plane / channels, plane % channels);
        let group = channel / (channels / kind.groups);
        let source = &values[plane * height * width..(plane + 1) * height * width];
        for (index, value) in looked.iter_mut().enumerate() {
            let (place, cell) = (index / cells, index % cells);
            let first = (number * kind.groups + group) * places + place;
            let kernel = [place / kind.window.kernel[1], place % kind.window.kernel[1]];
            let at = [cell / size[1], cell % size[1]];
            let point = [0, 1].map(|axis| {
                kind.base(axis, at[axis], kernel[axis]) as f32
                    + offsets[(first * 2 + axis) * cells + cell]
            });
            *value = between(source, [height, width], point, kind.modulated);
            if let Some(mask) = mask {
                *value *= mask[first * cells + cell];
            }
        }
    });
    let looked = Array::floats(&[batch, channels * places, size[0], size[1]], looked)?;
    let weight = at(inputs, kind.weight())?;
    let inner = weight.len() / kind.window.filters.max(1);
    let weight = weight.clone().reshaped(&[kind.window.filters, inner, 1, 1])?;
    let bias = if kind.bias { Some(at(inputs, kind.weight() + 1)?) } else { None };
    let how = convolution::Convolution {
        groups: kind.window.groups,
        ..convolution::Convolution::default()
    };
    Ok(vec![convolution::convolve(&looked, &weight, bias, &how)?])
}

/// The value between four elements. Those outside of the image are 0, or (not `fades`) those at its
/// border, and 0 for all places outside.
fn between(source: &[f32], [height, width]: [usize; 2], [y, x]: [f32; 2], fades: bool) -> f32 {
    let inside = |row: f32, column: f32| {
        row >= 0.0 && column >= 0.0 && row < height as f32 && column < width as f32
    };
    if !fades && !inside(y, x) {
        return 0.0;
    }
    let element = |row: f32, column: f32| {
        let (row, column) = match fades {
            true if !inside(row, column) => return 0.0,
            true => (row, column),
            false => (row.min(height as f32 - 1.0), column.min(width as f32 - 1.0)),
        };
        source[row as usize * width + column as usize]
    };
    let (top, left) = (y.floor(), x.floor());
    let (down, along) = (y - top, x - left);
    let upper = element(top, left) * (1.0 - along) + element(top, left + 1.0) * along;
    let lower = element(top + 1.0, left) * (1.0 - along) + element(top + 1.0, left + 1.0) * along;
    upper * (1.0 - down) + lower * down
}
