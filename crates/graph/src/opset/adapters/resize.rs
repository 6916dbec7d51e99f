//! Upsample and Resize. Upsample's factors became an input with 9, and it is called Resize since
//! 10; that got its modes of coordinates with 11, parameters that may be left out with 13, axes of
//! its own with 18.

use super::{Adapter, adapter, front};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{AttributeValue, Constant, ElementType};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Upsample", 9, Some(factors_to_input), Some(factors_to_attribute)),
    adapter("Upsample", 10, Some(to_resize), None),
    adapter("Resize", 10, None, Some(to_upsample)),
    adapter("Resize", 11, Some(state_coordinates), Some(without_coordinates)),
    adapter("Resize", 13, Some(leave_out_empty), Some(fill_in_empty)),
    adapter("Resize", 18, None, Some(without_axes)),
    adapter("Resize", 19, None, Some(without_symmetric)),
];

const COORDINATES: &str = "coordinate_transformation_mode";

/// Where the inputs are from 11 on.
const ROI: usize = 1;
const SCALES: usize = 2;
const SIZES: usize = 3;

fn factors_to_input(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(AttributeValue::Floats(scales)) = site.take("scales") else {
        return refuse("attribute 'scales' is missing");
    };
    let scales = site.constant(Constant::floats("scales", &[scales.len()], &scales));
    site.set_input(1, scales);
    Ok(())
}

fn factors_to_attribute(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(scales) = site.numbers(1)? else { return refuse("the factors are left out") };
    site.keep_inputs(1);
    site.set("scales", AttributeValue::Floats(scales.iter().map(|&scale| scale as f32).collect()));
    Ok(())
}

fn to_resize(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.node.op_type = "Resize".into();
    Ok(())
}

fn to_upsample(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(scales) = site.numbers(1)? else { return refuse("the factors are left out") };
    if scales.iter().any(|scale| *scale < 1.0) {
        return refuse("a factor below 1");
    }
    site.node.op_type = "Upsample".into();
    Ok(())
}

/// Says what went without saying in 10.
fn state_coordinates(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.set(COORDINATES, "asymmetric");
    if site.node.string("mode").unwrap_or("nearest") == "nearest" {
        site.set("nearest_mode", "floor");
    }
    let scales = site.required(1)?;
    let empty = site.constant(Constant::floats("roi", &[0], &[]));
    site.set_input(ROI, empty);
    site.set_input(SCALES, scales);
    Ok(())
}

fn without_coordinates(site: &mut Site<'_>) -> Result<(), Refusal> {
    let scales = scales(site)?;
    let mode = site.node.string("mode").unwrap_or("nearest").to_owned();
    let coordinates = site.node.string(COORDINATES).unwrap_or("half_pixel").to_owned();
    let nearest = site.node.string("nearest_mode").unwrap_or("round_prefer_floor").to_owned();
    let whole = scales.iter().all(|scale| *scale >= 1.0 && scale.fract() == 0.0);
    let same = match (mode.as_str(), coordinates.as_str()) {
        ("nearest", "asymmetric") => nearest == "floor",
        // Between the middles of pixels, a whole number of new ones goes to each old one.
        ("nearest", "half_pixel" | "pytorch_half_pixel") => {
            whole && nearest.starts_with("round_prefer")
        }
        ("linear", "asymmetric") => true,
        _ => false,
    };
    let alone = scales.iter().all(|scale| *scale == 1.0);
    if !same && !alone {
        return refuse(format!("mode '{mode}' with {COORDINATES} '{coordinates}'"));
    }
    for name in
        [COORDINATES, "nearest_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value"]
    {
        site.take(name);
    }
    let scales: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
    let scales = site.constant(Constant::floats("scales", &[scales.len()], &scales));
    site.keep_inputs(1);
    site.set_input(1, scales);
    Ok(())
}

/// The factors, computed from the sizes where those are given.
fn scales(site: &Site<'_>) -> Result<Vec<f64>, Refusal> {
    if let Some(scales) = site.numbers(SCALES)?.filter(|scales| !scales.is_empty()) {
        return Ok(scales);
    }
    let Some(sizes) = site.integers(SIZES)? else {
        return refuse("it has neither scales nor sizes");
    };
    let input = site.required(0)?;
    let mut scales = Vec::with_capacity(sizes.len());
    for (axis, &size) in sizes.iter().enumerate() {
        let Some(before) = site.fixed_dim(&input, axis) else {
            return refuse(format!("sizes of an image whose dimension {axis} is not fixed"));
        };
        let scale = (size as f64 / before as f64) as f32;
        if (scale * before as f32).floor() as i64 != size {
            return refuse(format!("no factor makes {size} of {before}"));
        }
        scales.push(scale.into());
    }
    Ok(scales)
}

/// An empty tensor stands for "not given" until 12.
fn leave_out_empty(site: &mut Site<'_>) -> Result<(), Refusal> {
    for index in [ROI, SCALES, SIZES] {
        let Some(name) = site.node.input(index) else { continue };
        if site.knowledge.constant(name).is_some_and(|constant| constant.elements() == Some(0)) {
            site.set_input(index, String::new());
        }
    }
    Ok(())
}

fn fill_in_empty(site: &mut Site<'_>) -> Result<(), Refusal> {
    for (index, name) in [(ROI, "roi"), (SCALES, "scales")] {
        if site.node.input(index).is_none() {
            let empty = site.constant(Constant::floats(name, &[0], &[]));
            site.set_input(index, empty);
        }
    }
    Ok(())
}

fn without_axes(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.take("antialias").is_some_and(|value| value != AttributeValue::Int(0)) {
        return refuse("antialias=1");
    }
    keep_ratio(site)?;
    let Some(axes) = site.take_ints("axes") else { return Ok(()) };
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let axes: Option<Vec<usize>> = axes.iter().map(|&axis| front(axis, rank)).collect();
    let Some(axes) = axes else { return refuse(format!("axes beyond {rank} dimensions")) };
    if axes.iter().copied().eq(0..rank) {
        return Ok(());
    }
    if let Some(scales) = site.numbers(SCALES)? {
        let mut all = vec![1.0f32; rank];
        for (&axis, &scale) in axes.iter().zip(&scales) {
            all[axis] = scale as f32;
        }
        let scales = site.constant(Constant::floats("scales", &[rank], &all));
        site.set_input(SCALES, scales);
    }
    if site.node.input(SIZES).is_some() {
        spread_sizes(site, &input, &axes, rank)?;
    }
    if let Some(roi) = site.numbers(ROI)? {
        let mut all = [vec![0.0f32; rank], vec![1.0; rank]].concat();
        for (index, &axis) in axes.iter().enumerate() {
            let part = |index: usize| roi.get(index).copied().unwrap_or(0.0) as f32;
            (all[axis], all[rank + axis]) = (part(index), part(axes.len() + index));
        }
        let element_type = ElementType::Float32;
        let bytes: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
        let roi = site.constant(Constant::raw("roi", element_type, &[2 * rank], bytes));
        site.set_input(ROI, roi);
    }
    Ok(())
}

/// Sizes of all dimensions: those of the axes, and what the others are at run time.
fn spread_sizes(
    site: &mut Site<'_>,
    input: &str,
    axes: &[usize],
    rank: usize,
) -> Result<(), Refusal> {
    let sizes = site.required(SIZES)?;
    let shape = site.add("Shape", &[input]);
    let mut parts = Vec::with_capacity(rank);
    for axis in 0..rank {
        let (from, at) = match axes.iter().position(|other| *other == axis) {
            Some(index) => (&sizes, index),
            None => (&shape, axis),
        };
        let at = site.ints("axis", &[at as i64]);
        parts.push(site.add("Gather", &[from, &at]));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let sizes = site.add_node(crate::Node::new("Concat", &parts, &[]).with("axis", 0));
    site.set_input(SIZES, sizes);
    Ok(())
}

/// `keep_aspect_ratio_policy` is about sizes only: the one factor that it leads to.
fn keep_ratio(site: &mut Site<'_>) -> Result<(), Refusal> {
    let policy = site.take("keep_aspect_ratio_policy");
    let policy = policy.unwrap_or_else(|| "stretch".into());
    if policy == "stretch".into() || site.node.input(SIZES).is_none() {
        return Ok(());
    }
    let input = site.required(0)?;
    let sizes = site.integers(SIZES)?.unwrap_or_default();
    let axes = site.node.ints("axes").map(<[i64]>::to_vec);
    let axes = axes.unwrap_or_else(|| (0..sizes.len() as i64).collect());
    let rank = site.rank(&input)?;
    let mut before = Vec::new();
    for &axis in &axes {
        match front(axis, rank).and_then(|axis| site.fixed_dim(&input, axis)) {
            Some(size) if size > 0 => before.push(size as f64),
            _ => return refuse("keep_aspect_ratio_policy for an image whose size is not fixed"),
        }
    }
    let scales = sizes.iter().zip(&before).map(|(&size, &before)| size as f64 / before);
    let scale = match policy == "not_larger".into() {
        true => scales.fold(f64::INFINITY, f64::min),
        false => scales.fold(0.0, f64::max),
    };
    let sizes: Vec<i64> = before.iter().map(|before| (scale * before).round() as i64).collect();
    let sizes = site.ints("sizes", &sizes);
    site.set_input(SIZES, sizes);
    Ok(())
}

/// `half_pixel_symmetric` is `half_pixel` where the factors make whole sizes.
fn without_symmetric(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.string(COORDINATES) != Some("half_pixel_symmetric") {
        return Ok(());
    }
    let scales = site.numbers(SCALES)?.unwrap_or_default();
    if scales.iter().any(|scale| scale.fract() != 0.0) {
        return refuse(format!(
            "{COORDINATES} 'half_pixel_symmetric' with a factor that is not whole"
        ));
    }
    site.set(COORDINATES, "half_pixel");
    Ok(())
}
