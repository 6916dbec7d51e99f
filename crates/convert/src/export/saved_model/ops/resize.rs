//! Images in another size.
//!
//! TensorFlow's own operators are taken where they compute the same; where they do not, and sizes are
//! known, each axis is picked from (nearest) or multiplied by a matrix (all else), which is what
//! resizing is.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::kernel::{self, Axis, Coordinates, How, Kernel};
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::constant;
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::Size;
use crate::export::saved_model::value::{Refusal, Tensor, counted};
use crate::export::saved_model::writer::Writer;

const WAY_OUT: &str = "give the model's inputs a fixed size (modelyard convert --shape)";

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let how = how(call)?;
    let (rank, targets) = targets(call)?;
    let mut x = call.tensor(writer, 0)?;
    let value = call.value(0)?;
    let changed: Vec<usize> = (0..rank)
        .filter(|&axis| targets[axis].is_some_and(|target| !target.keeps(value.size(axis))))
        .collect();
    let space = [1, 2];
    if rank == 4
        && changed.iter().all(|axis| space.contains(axis))
        && let Some(found) = native(writer, call, &how, &targets)?
    {
        return Ok(vec![found]);
    }
    for axis in changed {
        let Some(target) = targets[axis] else { continue };
        let size = value.size(axis).ok_or_else(|| {
            Refusal::new("a size that is not known, resized in this way", WAY_OUT)
        })?;
        x = along(writer, &x, &how, (axis, rank, target.axis(size)?))?;
    }
    Ok(vec![x])
}

/// What one axis becomes.
#[derive(Clone, Copy, Debug)]
enum Target {
    Size(usize),
    Scale(f32),
}

impl Target {
    /// Whether an axis of this size stays what it is.
    fn keeps(self, size: Option<usize>) -> bool {
        match self {
            Target::Size(target) => Some(target) == size,
            Target::Scale(scale) => scale == 1.0,
        }
    }

    fn axis(self, input: usize) -> Result<Axis, Refusal> {
        /// More than any image has along an axis.
        const MOST: f64 = (1 << 24) as f64;
        let (output, scale) = match self {
            Target::Size(output) if output as f64 > MOST => {
                return Err(Refusal::new(format!("{output} elements along an axis"), "use less"));
            }
            Target::Size(output) => (output, output as f32 / input.max(1) as f32),
            Target::Scale(scale) => {
                let output = (input as f64 * f64::from(scale)).floor();
                if !(0.0..MOST).contains(&output) {
                    return Err(Refusal::new(format!("a scale of {scale}"), "it is damaged"));
                }
                (output as usize, scale)
            }
        };
        Ok(Axis { input, output, scale })
    }
}

fn how(call: &Call<'_>) -> Result<How, Refusal> {
    let coordinates = match call.text("coordinate_transformation_mode", "half_pixel") {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::TorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => {
            let reason = format!("coordinates of mode '{other}'");
            return Err(Refusal::new(reason, "use half_pixel, align_corners or asymmetric"));
        }
    };
    let kernel = match call.text("mode", "nearest") {
        "nearest" => Kernel::Nearest,
        "linear" => Kernel::Linear,
        "cubic" => Kernel::Cubic(call.float("cubic_coeff_a", -0.75)),
        other => return Err(Refusal::new(format!("mode '{other}'"), "use linear or cubic")),
    };
    let policy = call.text("keep_aspect_ratio_policy", "stretch");
    if policy != "stretch" {
        let reason = format!("the policy '{policy}' for sizes");
        return Err(Refusal::new(reason, "state the sizes that it comes to"));
    }
    let rounding = match call.text("nearest_mode", "round_prefer_floor") {
        "round_prefer_floor" => kernel::Rounding::PreferFloor,
        "round_prefer_ceil" => kernel::Rounding::PreferCeil,
        "floor" => kernel::Rounding::Floor,
        _ => kernel::Rounding::Ceil,
    };
    Ok(How {
        coordinates,
        kernel,
        rounding,
        antialias: call.flag("antialias"),
        exclude_outside: call.flag("exclude_outside"),
    })
}

/// What becomes of each axis, in the order that the image has here.
fn targets(call: &Call<'_>) -> Result<(usize, Vec<Option<Target>>), Refusal> {
    let rank = call.value(0)?.rank()?;
    if let Some(targets) = inferred(call) {
        return Ok((rank, targets));
    }
    let computed = || Refusal::new("sizes that are computed", WAY_OUT);
    let sizes = call.optional(3).filter(|value| value.size(0) != Some(0));
    let list: Vec<Target> = if let Some(sizes) = sizes {
        let sizes = sizes.integers().ok_or_else(computed)?;
        sizes.iter().map(|&size| Target::Size(usize::try_from(size).unwrap_or(0))).collect()
    } else {
        let scales = call.value(2)?.constant().ok_or_else(computed)?;
        let scales = constant::numbers(scales)?;
        scales.iter().map(|&scale| Target::Scale(scale as f32)).collect()
    };
    let axes: Option<Vec<usize>> = match call.node.ints("axes") {
        Some(axes) => axes.iter().map(|&axis| counted(axis, rank)).collect(),
        None => Some((0..rank).collect()),
    };
    let axes = axes.filter(|axes| axes.len() == list.len());
    let axes = axes.ok_or_else(|| Refusal::new("sizes of other axes", "it is damaged"))?;
    let mut targets = vec![None; rank];
    for (&axis, target) in axes.iter().zip(list) {
        let place = match axis {
            0 => 0,
            1 => rank - 1,
            axis => axis - 1,
        };
        targets[place] = Some(target);
    }
    Ok((rank, targets))
}

/// As [`targets`], where sizes are computed that are known all the same: all but that of the batch.
fn inferred(call: &Call<'_>) -> Option<Vec<Option<Target>>> {
    let sizes = call.optional(3).filter(|sizes| sizes.constant().is_none())?;
    let (before, after) = (call.value(0).ok()?.dims.as_ref()?, call.output_dims()?);
    let target = |(before, after): (&Dim, &Dim)| match after {
        Dim::Fixed(size) => Some(Some(Target::Size(*size))),
        Dim::Symbol(_) if before == after => Some(None),
        _ => None,
    };
    let is_list = sizes.size(0) == Some(before.len());
    is_list.then(|| before.iter().zip(after).map(target).collect())?
}

/// TensorFlow's own operator, where it computes the same.
fn native(
    writer: &mut Writer,
    call: &Call<'_>,
    how: &How,
    targets: &[Option<Target>],
) -> Result<Option<Tensor>, Refusal> {
    let value = call.value(0)?;
    let x = call.tensor(writer, 0)?;
    let mut sizes = Vec::with_capacity(2);
    let mut name = None;
    for axis in [1, 2] {
        let target = targets[axis].unwrap_or(Target::Scale(1.0));
        let input = value.size(axis);
        let Some(found) = kernel::native(how, input, tried(target, input)?) else {
            return Ok(None);
        };
        if *name.get_or_insert(found) != found {
            return Ok(None);
        }
        sizes.push(match (target, input) {
            (Target::Size(size), _) => Size::Fixed(size as i64),
            (target, Some(input)) => Size::Fixed(target.axis(input)?.output as i64),
            (Target::Scale(scale), None) => {
                let size = writer.size(value, axis)?;
                let Size::Computed(size) = size else { return Ok(None) };
                Size::Computed(writer.with_number("Mul", &size, scale.into())?)
            }
        });
    }
    let Some(native) = name else { return Ok(None) };
    let list = writer.list("size", &sizes)?;
    let list = writer.cast(&list, ElementType::Int32);
    let op = Op::new(native.operator).input(&x).input(&list).kind("T", x.element_type);
    let op = op.bool("align_corners", native.align_corners);
    let op = op.bool("half_pixel_centers", native.half_pixel_centers);
    // The bilinear one gives 32-bit floats, whatever it takes.
    let given = match how.kernel {
        Kernel::Nearest => x.element_type,
        _ => ElementType::Float32,
    };
    let found = writer.add(op, given);
    Ok(Some(writer.cast(&found, x.element_type)))
}

/// An axis to compare operators on: the real one, or one that stands for all sizes.
fn tried(target: Target, input: Option<usize>) -> Result<Option<Axis>, Refusal> {
    const STANDS_FOR_ALL: usize = 509;
    match (target, input) {
        (target, Some(input)) => target.axis(input).map(Some),
        // What is scaled by a whole number has sizes that fit exactly.
        (Target::Scale(scale), None) if scale >= 1.0 && scale.fract() == 0.0 => {
            Target::Scale(scale).axis(STANDS_FOR_ALL).map(Some)
        }
        _ => Ok(None),
    }
}

/// One axis resized, whose size is known.
fn along(
    writer: &mut Writer,
    x: &Tensor,
    how: &How,
    (axis, rank, sizes): (usize, usize, Axis),
) -> Result<Tensor, Refusal> {
    if let Kernel::Nearest = how.kernel {
        let places: Vec<i64> =
            kernel::nearest(how, &sizes).iter().map(|&place| place as i64).collect();
        let places = writer.longs("places", &places)?;
        return writer.gather(x, &places, (axis, 0));
    }
    let weights = kernel::weights(how, &sizes)?;
    let dims = [sizes.output, sizes.input];
    let weights = constant::of_numbers("weights", x.element_type, &dims, &weights)?;
    let weights = writer.constant(&weights)?;
    let letters: Vec<char> = ('a'..='z').take(rank).collect();
    let before: String = letters.iter().collect();
    let from = letters.get(axis).copied().unwrap_or('a');
    let after = before.replace(from, "z");
    let op = Op::new("Einsum").input(x).input(&weights).int("N", 2).kind("T", x.element_type);
    let equation = format!("{before},z{from}->{after}");
    Ok(writer.add(op.text("equation", &equation), x.element_type))
}
