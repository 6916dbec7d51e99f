//! `_contrib_ROIAlign`: parts of an image as grids of the same size.

use modelyard_graph::ElementType;
use rayon::prelude::*;

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::Array;

pub(super) const OPERATOR: Operator =
    Operator { names: &["_contrib_ROIAlign"], infer, convert, evaluate };

struct Align {
    size: [usize; 2],
    scale: f64,
    /// Samples along each side of a cell; 0: as many as it covers elements.
    samples: usize,
    /// Whether coordinates are moved by half an element.
    aligned: bool,
}

fn align(op: &Op<'_>) -> Result<Align, Problem> {
    let attributes = op.attributes;
    let size = attributes.sizes("pooled_size", 2, 1)?;
    if attributes.flag_or("position_sensitive", false)? {
        return Err(Problem::refused("position_sensitive", "pool without it"));
    }
    Ok(Align {
        size: [size[0], size[1]],
        scale: attributes.float_or("spatial_scale", 1.0)?,
        samples: usize::try_from(attributes.int_or("sample_ratio", -1)?).unwrap_or(0).min(64),
        aligned: attributes.flag_or("aligned", false)?,
    })
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let (image, parts) = (info(inputs, 0)?, info(inputs, 1)?);
    let align = align(op)?;
    match (image.dims.as_slice(), parts.dims.as_slice()) {
        ([_, channels, _, _], [count, 5]) => {
            let dims = [*count, *channels, align.size[0], align.size[1]];
            let found = Info::new(image.kind, &dims);
            found.len()?;
            Ok(vec![found])
        }
        (one, two) => Err(Problem::shape(format!("parts {two:?} of images {one:?}"))),
    }
}

/// A part is the number of its image and two corners. Detectors give those that they suppressed the
/// number -1: parts of no image, which are 0, and which ONNX does not know.
fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let align = align(&site.op)?;
    let (image, parts) = (site.input(0)?, site.input(1)?);
    let number = site.slice(&parts, 1, 0, 1);
    let kind = site.known(1)?.kind;
    let zero = site.number("zero", kind, 0.0);
    let is_none = site.op("Less", &[&number, &zero]);
    let is_none = site.unsqueeze(&is_none, &[2, 3]);
    let number = site.op("Max", &[&number, &zero]);
    let number = site.squeeze(&number, &[1]);
    let number = site.cast(&number, ElementType::Int64);
    let corners = site.slice(&parts, 1, 1, 5);
    let mode = if align.aligned { "half_pixel" } else { "output_half_pixel" };
    let found = node("RoiAlign", &[image, corners, number])
        .with("coordinate_transformation_mode", mode)
        .with("mode", "avg")
        .with("output_height", align.size[0] as i64)
        .with("output_width", align.size[1] as i64)
        .with("sampling_ratio", align.samples as i64)
        .with("spatial_scale", align.scale as f32);
    let found = site.add(found);
    let kind = site.kind()?;
    let nothing = site.number("nothing", kind, 0.0);
    Ok(vec![site.op("Where", &[&is_none, &nothing, &found])])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let align = align(op)?;
    let (image, parts) = (at(inputs, 0)?, at(inputs, 1)?);
    let (images, channels, height, width) = match image.dims() {
        [images, channels, height, width] => (*images, *channels, *height, *width),
        found => return Err(EvaluateError::new(format!("images of shape {found:?}"))),
    };
    let plane = height * width;
    let values = image.as_floats()?;
    let parts = parts.as_floats()?.as_chunks::<5>().0;
    let cells = align.size[0] * align.size[1];
    let found: Vec<Vec<f32>> = parts
        .par_iter()
        .map(|part| {
            let mut found = vec![0.0; channels * cells];
            let number = part[0] as i64;
            let Some(number) = usize::try_from(number).ok().filter(|&it| it < images) else {
                // Parts of no image are 0.
                return found;
            };
            let grid = grid(&align, part, [height, width]);
            for channel in 0..channels {
                let start = (number * channels + channel) * plane;
                let source = &values[start..start + plane];
                for (cell, taps) in grid.iter().enumerate() {
                    let sum: f32 = taps.iter().map(|&(place, weight)| source[place] * weight).sum();
                    found[channel * cells + cell] = sum;
                }
            }
            found
        })
        .collect();
    let dims = [parts.len(), channels, align.size[0], align.size[1]];
    Ok(vec![Array::floats(&dims, found.concat())?])
}

/// For each cell the elements that it is made of, and their weights.
fn grid(align: &Align, part: &[f32; 5], size: [usize; 2]) -> Vec<Vec<(usize, f32)>> {
    let scale = align.scale as f32;
    let offset = if align.aligned { 0.5 } else { 0.0 };
    let corner = |index: usize| part[index] * scale - offset;
    let (x, y) = (corner(1), corner(2));
    let (mut width, mut height) = (corner(3) - x, corner(4) - y);
    if !align.aligned {
        (width, height) = (width.max(1.0), height.max(1.0));
    }
    let (cell_height, cell_width) = (height / align.size[0] as f32, width / align.size[1] as f32);
    let samples = |size: f32, cells: usize| match align.samples {
        0 => (size / cells as f32).ceil().clamp(0.0, 1024.0) as usize,
        samples => samples,
    };
    let (rows, columns) = (samples(height, align.size[0]), samples(width, align.size[1]));
    let share = 1.0 / (rows * columns).max(1) as f32;
    let mut cells = Vec::new();
    for row in 0..align.size[0] {
        for column in 0..align.size[1] {
            let mut taps = Vec::new();
            for sample in 0..rows * columns {
                let (down, along) = (sample / columns, sample % columns);
                let at = |start: f32, cell: usize, length: f32, sample: usize, count: usize| {
                    start + (cell as f32 + (sample as f32 + 0.5) / count as f32) * length
                };
                let y = at(y, row, cell_height, down, rows);
                let x = at(x, column, cell_width, along, columns);
                bilinear(y, x, size, &mut |place, weight| taps.push((place, weight * share)));
            }
            cells.push(taps);
        }
    }
    cells
}

/// The four elements around a point. A point outside by more than one has none.
fn bilinear(y: f32, x: f32, [height, width]: [usize; 2], tap: &mut dyn FnMut(usize, f32)) {
    let outside = |at: f32, size: usize| !(-1.0..=size as f32).contains(&at);
    if height == 0 || width == 0 || outside(y, height) || outside(x, width) {
        return;
    }
    let around = |at: f32, size: usize| {
        let at = at.max(0.0);
        let low = at as usize;
        if low >= size - 1 { (size - 1, size - 1, 0.0) } else { (low, low + 1, at - low as f32) }
    };
    let (top, bottom, down) = around(y, height);
    let (left, right, along) = around(x, width);
    tap(top * width + left, (1.0 - down) * (1.0 - along));
    tap(top * width + right, (1.0 - down) * along);
    tap(bottom * width + left, down * (1.0 - along));
    tap(bottom * width + right, down * along);
}
