//! Images in another size: `UpSampling`, `_contrib_BilinearResize2D`,
//! `_contrib_AdaptiveAvgPooling2D`.

use super::super::site::{Site, Size};
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::resize::{Coordinates, Interpolation, Resize, Rounding, Sized};
use crate::reference::{Array, convolution, pool, resize};

pub(super) const UP: Operator = Operator {
    names: &["UpSampling"],
    infer: infer_up,
    convert: convert_up,
    evaluate: evaluate_up,
};

pub(super) const BILINEAR: Operator = Operator {
    names: &["_contrib_BilinearResize2D"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let like = inputs.get(1).map(|like| like.dims.as_slice());
        let [height, width] = bilinear(op, &input.dims, like)?;
        Ok(vec![Info::new(input.kind, &[input.dims[0], input.dims[1], height, width])])
    },
    convert: convert_bilinear,
    evaluate: evaluate_bilinear,
};

pub(super) const ADAPTIVE: Operator = Operator {
    names: &["_contrib_AdaptiveAvgPooling2D"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        plane(&input.dims)?;
        let [height, width] = adaptive(op)?;
        Ok(vec![Info::new(input.kind, &[input.dims[0], input.dims[1], height, width])])
    },
    convert: convert_adaptive,
    evaluate: |op, inputs| Ok(vec![pool::adaptive_average_pool(at(inputs, 0)?, &adaptive(op)?)?]),
};

fn plane(dims: &[usize]) -> Result<[usize; 2], Problem> {
    match dims {
        [_, _, height, width] if *height > 0 && *width > 0 => Ok([*height, *width]),
        found => Err(Problem::shape(format!("an image of shape {found:?}"))),
    }
}

/// The factor, and whether elements are repeated instead of weighted by a kernel.
fn up(op: &Op<'_>) -> Result<(usize, bool), Problem> {
    let scale = op.attributes.need_count("scale")?;
    if !(1..=1 << 16).contains(&scale) {
        return Err(Problem::shape(format!("a scale of {scale}")));
    }
    match op.attributes.text("sample_type").unwrap_or_default() {
        "nearest" => Ok((scale, true)),
        "bilinear" => Ok((scale, false)),
        other => Err(Problem::shape(format!("there is no sample type '{other}'"))),
    }
}

fn infer_up(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let (scale, nearest) = up(op)?;
    let size = plane(&input.dims)?.map(|size| size.saturating_mul(scale));
    if nearest && inputs.len() > 1 {
        return Err(Problem::refused("several inputs", "concatenate them after scaling each"));
    }
    let mut found = input.clone();
    found.dims.truncate(2);
    found.dims.extend(size);
    found.len()?;
    Ok(vec![found])
}

fn convert_up(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (scale, nearest) = up(&site.op)?;
    let x = site.input(0)?;
    if !nearest {
        let inputs = [x, site.input(1)?];
        let window = kernel(scale, site.size(0, 1)?);
        let found = node("ConvTranspose", &inputs)
            .with("kernel_shape", [window.size as i64; 2])
            .with("strides", [scale as i64; 2])
            .with("pads", [window.pad as i64; 4])
            .with("group", window.groups as i64);
        return Ok(vec![site.add(found)]);
    }
    let scale = scale as f32;
    let scales = site.emitter.floats("scales", &[4], &[1.0, 1.0, scale, scale]);
    let found = node("Resize", &[&x, "", &scales])
        .with("mode", "nearest")
        .with("coordinate_transformation_mode", "asymmetric")
        .with("nearest_mode", "floor");
    Ok(vec![site.add(found)])
}

/// The transposed convolution that a bilinear `UpSampling` is: one kernel a channel, which the
/// model has.
struct Kernel {
    size: usize,
    pad: usize,
    groups: usize,
}

fn kernel(scale: usize, channels: usize) -> Kernel {
    let pad = (scale - 1).div_ceil(2);
    Kernel { size: 2 * scale - scale % 2, pad, groups: channels }
}

fn evaluate_up(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (scale, nearest) = up(op)?;
    let x = at(inputs, 0)?;
    let [height, width] = plane(x.dims())?;
    if !nearest {
        let window = kernel(scale, x.dims()[1]);
        let how = convolution::Convolution {
            strides: vec![scale; 2],
            pads_begin: vec![window.pad; 2],
            pads_end: vec![window.pad; 2],
            groups: window.groups,
            ..convolution::Convolution::default()
        };
        let weight = at(inputs, 1)?;
        return Ok(vec![convolution::convolve_transposed(x, weight, None, (&how, &[]))?]);
    }
    let how = Resize {
        interpolation: Interpolation::Nearest(Rounding::Floor),
        coordinates: Coordinates::Asymmetric,
        antialias: false,
    };
    Ok(vec![resized(x, [height * scale, width * scale], how)?])
}

fn resized(x: &Array, size: [usize; 2], how: Resize) -> Result<Array, EvaluateError> {
    let sized = |(axis, size)| Sized { axis, size, scale: None };
    resize::resize(x, &[sized((2, size[0])), sized((3, size[1]))], how)
}

/// The size that is asked for.
fn bilinear(op: &Op<'_>, dims: &[usize], like: Option<&[usize]>) -> Result<[usize; 2], Problem> {
    let attributes = op.attributes;
    let [height, width] = plane(dims)?;
    let scaled = |key, size: usize| -> Result<Option<usize>, Problem> {
        let scale = attributes.float_or(key, 0.0)?;
        let found = size as f64 * scale;
        Ok((scale > 0.0 && (1.0..1e6).contains(&found)).then_some(found as usize))
    };
    let mode = attributes.text("mode").unwrap_or("size");
    let found = match mode {
        "size" => match (scaled("scale_height", height)?, scaled("scale_width", width)?) {
            (Some(height), Some(width)) => [height, width],
            _ => [attributes.need_count("height")?, attributes.need_count("width")?],
        },
        "like" => plane(like.ok_or_else(|| Problem::shape("expected an image to be like"))?)?,
        "to_even_down" => [height - height % 2, width - width % 2],
        "to_even_up" => [height + height % 2, width + width % 2],
        "to_odd_down" => [height - (height + 1) % 2, width - (width + 1) % 2],
        "to_odd_up" => [height + (height + 1) % 2, width + (width + 1) % 2],
        other => return Err(Problem::refused(format!("mode '{other}'"), "say the size itself")),
    };
    match found.iter().all(|size| (1..1 << 20).contains(size)) {
        true => Ok(found),
        false => Err(Problem::shape(format!("a size of {found:?}"))),
    }
}

fn aligns(op: &Op<'_>) -> Result<bool, Problem> {
    op.attributes.flag_or("align_corners", true)
}

fn convert_bilinear(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let known = site.output(0)?.dims.clone();
    let own = site.sizes_of(0)?;
    let like = site.op.attributes.text("mode") == Some("like");
    let others = if like { site.sizes_of(1)? } else { Vec::new() };
    let x = site.input(0)?;
    let mut list: Vec<Size> = own.into_iter().take(2).collect();
    for axis in [2, 3] {
        list.push(match (known.get(axis).copied().flatten(), others.get(axis)) {
            (Some(size), _) => Size::Fixed(size as i64),
            (None, Some(size)) => size.clone(),
            (None, None) => return Err(Problem::FreeSize("the size of the result".into())),
        });
    }
    let list = site.list(&list);
    let mode = if aligns(&site.op)? { "align_corners" } else { "half_pixel" };
    let found = node("Resize", &[&x, "", "", &list])
        .with("mode", "linear")
        .with("coordinate_transformation_mode", mode);
    Ok(vec![site.add(found)])
}

fn evaluate_bilinear(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let size = bilinear(op, x.dims(), inputs.get(1).map(|like| like.dims()))?;
    let coordinates = match aligns(op)? {
        true => Coordinates::AlignCorners,
        false => Coordinates::HalfPixel,
    };
    let how = Resize { interpolation: Interpolation::Linear, coordinates, antialias: false };
    Ok(vec![resized(x, size, how)?])
}

/// How many windows along height and width: one unless said.
fn adaptive(op: &Op<'_>) -> Result<[usize; 2], Problem> {
    let sizes = op.attributes.ints("output_size")?.unwrap_or_default();
    let sizes = op.attributes.sizes("output_size", sizes.len().max(1), 1)?;
    let found = match sizes.as_slice() {
        [size] => [*size, *size],
        [height, width] => [*height, *width],
        _ => return Err(Problem::shape("an output size of more than two numbers")),
    };
    match found.iter().all(|size| (1..1 << 16).contains(size)) {
        true => Ok(found),
        false => Err(Problem::shape(format!("a size of {found:?}"))),
    }
}

/// The mean over all; windows where sizes divide; otherwise each axis as a product with a matrix of
/// the windows.
fn convert_adaptive(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let wanted = adaptive(&site.op)?;
    let x = site.input(0)?;
    if wanted == [1, 1] {
        return Ok(vec![site.op("GlobalAveragePool", &[&x])]);
    }
    let have = [site.size(0, 2)?, site.size(0, 3)?];
    if (0..2).all(|axis| have[axis] % wanted[axis] == 0) {
        let kernel: Vec<i64> = (0..2).map(|axis| (have[axis] / wanted[axis]) as i64).collect();
        let found = node("AveragePool", &[x])
            .with("kernel_shape", kernel.as_slice())
            .with("strides", kernel.as_slice());
        return Ok(vec![site.add(found)]);
    }
    let kind = site.kind()?;
    let rows = windows(have[0], wanted[0]);
    let columns = windows(have[1], wanted[1]);
    let rows = site.numbers("rows", kind, &[wanted[0], have[0]], &rows);
    let columns = site.numbers("columns", kind, &[wanted[1], have[1]], &columns);
    let columns = site.transpose(&columns, &[1, 0]);
    let found = site.op("MatMul", &[&rows, &x]);
    Ok(vec![site.op("MatMul", &[&found, &columns])])
}

/// A row for each window: its share of each element.
fn windows(size: usize, count: usize) -> Vec<f64> {
    let mut found = vec![0.0; size * count];
    for window in 0..count {
        let start = window * size / count;
        let end = ((window + 1) * size).div_ceil(count);
        for share in &mut found[window * size + start..window * size + end] {
            *share = 1.0 / (end - start) as f64;
        }
    }
    found
}
