//! Images in another size: `interpolate` of PyTorch.

use std::rc::Rc;

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::Array;
use crate::reference::resize::{Coordinates, Interpolation, Resize, Rounding, Sized, resize};

const NEAREST1: &str = "self output_size scales";
const NEAREST2: &str = "self output_size scales_h scales_w";
const NEAREST3: &str = "self output_size scales_d scales_h scales_w";
const NEAREST_VEC: &str = "input output_size scale_factors";
const LINEAR1: &str = "self output_size align_corners scales";
const LINEAR2: &str = "self output_size align_corners scales_h scales_w";
const LINEAR3: &str = "self output_size align_corners scales_d scales_h scales_w";
const LINEAR_VEC: &str = "input output_size align_corners scale_factors";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.upsample_nearest1d.default", NEAREST1, convert, evaluate),
    operator("aten.upsample_nearest1d.vec", NEAREST_VEC, convert, evaluate),
    operator("aten.upsample_nearest2d.default", NEAREST2, convert, evaluate),
    operator("aten.upsample_nearest2d.vec", NEAREST_VEC, convert, evaluate),
    operator("aten.upsample_nearest3d.default", NEAREST3, convert, evaluate),
    operator("aten.upsample_nearest3d.vec", NEAREST_VEC, convert, evaluate),
    operator("aten._upsample_nearest_exact1d.default", NEAREST1, convert, evaluate),
    operator("aten._upsample_nearest_exact1d.vec", NEAREST_VEC, convert, evaluate),
    operator("aten._upsample_nearest_exact2d.default", NEAREST2, convert, evaluate),
    operator("aten._upsample_nearest_exact2d.vec", NEAREST_VEC, convert, evaluate),
    operator("aten._upsample_nearest_exact3d.default", NEAREST3, convert, evaluate),
    operator("aten._upsample_nearest_exact3d.vec", NEAREST_VEC, convert, evaluate),
    operator("aten.upsample_linear1d.default", LINEAR1, convert, evaluate),
    operator("aten.upsample_linear1d.vec", LINEAR_VEC, convert, evaluate),
    operator("aten.upsample_bilinear2d.default", LINEAR2, convert, evaluate),
    operator("aten.upsample_bilinear2d.vec", LINEAR_VEC, convert, evaluate),
    operator("aten.upsample_trilinear3d.default", LINEAR3, convert, evaluate),
    operator("aten.upsample_trilinear3d.vec", LINEAR_VEC, convert, evaluate),
    operator("aten.upsample_bicubic2d.default", LINEAR2, convert, evaluate),
    operator("aten.upsample_bicubic2d.vec", LINEAR_VEC, convert, evaluate),
];

/// The coefficient of PyTorch's cubic kernel.
const CUBIC: f32 = -0.75;

/// The names that the scales have in the schemas.
pub(super) const SCALES: [&str; 4] = ["scales_d", "scales_h", "scales_w", "scales"];

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let name = if call.overload() == "vec" { "input" } else { "self" };
    let own = call.tensor(name)?;
    let rank = own.rank().saturating_sub(2);
    let operator = call.operator();
    let align = call.bool_or("align_corners", false)?;
    let factors = scale_factors(call)?;
    let mut inputs = vec![own.name.clone(), String::new()];
    let mut resize = if factors.is_empty() {
        let spatial = call.extents("output_size")?;
        let mut all: Vec<Extent> = (0..2).map(|axis| call.to.size(&own, axis)).collect();
        all.extend(spatial);
        inputs.push(String::new());
        inputs.push(call.to.shape(&all));
        node("Resize", &inputs)
    } else {
        let mut scales = vec![1.0f32, 1.0];
        scales.extend(factors.iter().take(rank).map(|&factor| factor as f32));
        inputs.push(call.to.emitter.floats("scales", &[scales.len()], &scales));
        node("Resize", &inputs)
    };
    let (mode, coordinates) = match operator {
        _ if operator.contains("nearest_exact") => ("nearest", "half_pixel"),
        _ if operator.contains("nearest") => ("nearest", "asymmetric"),
        _ if align => (linear_or_cubic(operator), "align_corners"),
        _ => (linear_or_cubic(operator), "half_pixel"),
    };
    resize = resize.with("mode", mode).with("coordinate_transformation_mode", coordinates);
    if mode == "nearest" {
        let rounding = if coordinates == "asymmetric" { "floor" } else { "round_prefer_ceil" };
        resize = resize.with("nearest_mode", rounding);
    }
    if mode == "cubic" {
        resize = resize.with("cubic_coeff_a", CUBIC);
    }
    let result = call.to.emit_node(resize);
    call.give(0, result);
    Ok(())
}

fn linear_or_cubic(operator: &str) -> &'static str {
    if operator.contains("cubic") { "cubic" } else { "linear" }
}

/// Scales where the image is scaled by a factor rather than to a size; the size counts first.
fn scale_factors(call: &mut Call<'_, '_>) -> Result<Vec<f64>, Refusal> {
    if call.has("output_size") {
        // Scales beside the size tell where elements lie. ONNX has only one of both, and where the
        // two agree it does not matter which.
        let mut factors = Vec::new();
        for name in SCALES {
            factors.extend(call.scalar(name)?.map(|factor| factor.as_f64()));
        }
        let are_exact = factors.iter().all(|factor| factor.fract() == 0.0);
        return if are_exact { Ok(Vec::new()) } else { Ok(factors) };
    }
    call.floats("scale_factors")
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let operator = eval.operator();
    let align = eval.bool_or("align_corners", false)?;
    let (own, sizes) = evaluated_sizes(eval)?;
    let smooth = if align { Coordinates::AlignCorners } else { Coordinates::HalfPixel };
    let (interpolation, coordinates) = match operator {
        _ if operator.contains("nearest_exact") => {
            (Interpolation::Nearest(Rounding::Floor), Coordinates::HalfPixelForNearest)
        }
        _ if operator.contains("nearest") => {
            (Interpolation::Nearest(Rounding::Floor), Coordinates::Asymmetric)
        }
        _ if operator.contains("cubic") => {
            (Interpolation::Cubic { coefficient: CUBIC, inside: false }, smooth)
        }
        _ => (Interpolation::Linear, smooth),
    };
    one(resize(&own, &sizes, Resize { interpolation, coordinates, antialias: false }))
}

/// The image, and the sizes that it gets.
pub(super) fn evaluated_sizes(
    eval: &mut Eval<'_, '_>,
) -> Result<(Rc<Array>, Vec<Sized>), EvaluateError> {
    let name = if eval.overload() == "vec" { "input" } else { "self" };
    let own = eval.tensor(name)?;
    let spatial = own.dims().get(2..).unwrap_or_default();
    let mut factors = eval.floats("scale_factors")?;
    for name in SCALES {
        if eval.has(name) {
            factors.push(eval.float_or(name, 1.0)?);
        }
    }
    let wanted: Vec<usize> = match eval.has("output_size") {
        true => eval.dims("output_size")?,
        false => {
            let scaled = spatial.iter().zip(&factors);
            scaled.map(|(&size, factor)| (size as f64 * factor).floor() as usize).collect()
        }
    };
    if wanted.len() != spatial.len() {
        return Err(EvaluateError::new("another number of sizes than the image has"));
    }
    let sized = |(index, &size): (usize, &usize)| Sized {
        axis: index + 2,
        size,
        scale: factors.get(index).map(|&factor| factor.recip() as f32),
    };
    let sizes = wanted.iter().enumerate().map(sized).collect();
    Ok((own, sizes))
}
