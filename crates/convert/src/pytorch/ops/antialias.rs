//! Images in another size, with a filter that is widened where they become smaller.
//!
//! What each element of the output is made of is known before: a matrix for each axis. Engines that
//! have antialiasing do not agree with PyTorch on it.

use super::upsample::{SCALES, evaluated_sizes};
use super::{Operator, operator};
use crate::pytorch::convert::{Call, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::graph::Size;
use crate::reference::resize::{Coordinates, Interpolation, Resize, resize};

const PLAIN: &str = "self output_size align_corners scales_h scales_w";
const VEC: &str = "input output_size align_corners scale_factors";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten._upsample_bilinear2d_aa.default", PLAIN, convert, evaluate),
    operator("aten._upsample_bilinear2d_aa.vec", VEC, convert, evaluate),
    operator("aten._upsample_bicubic2d_aa.default", PLAIN, convert, evaluate),
    operator("aten._upsample_bicubic2d_aa.vec", VEC, convert, evaluate),
];

/// The coefficient of the cubic kernel: that of Pillow.
const CUBIC: f32 = -0.5;

/// Elements that a matrix may have.
const MOST: i64 = 1 << 26;

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let name = if call.overload() == "vec" { "input" } else { "self" };
    let own = call.tensor(name)?;
    if call.bool_or("align_corners", false)? {
        let way_out = "use align_corners=False";
        return Err(Refusal::new("antialiasing with aligned corners", way_out));
    }
    let (_, sizes) = call.output(0)?;
    let mut factors = call.floats("scale_factors")?;
    for name in SCALES {
        factors.extend(call.scalar(name)?.map(|factor| factor.as_f64()));
    }
    let is_cubic = call.operator().contains("cubic");
    let mut name = own.name.clone();
    for (index, axis) in [2, 3].into_iter().enumerate() {
        let (input, output) = known(&own, sizes, axis)?;
        let scale =
            factors.get(index).map_or(input as f64 / output as f64, |factor| factor.recip());
        if input == output && scale == 1.0 {
            continue;
        }
        let matrix = matrix(input, output, scale, is_cubic);
        if axis == 2 {
            let dims = [output as usize, input as usize];
            let rows = call.to.emitter.floats("rows", &dims, &matrix);
            name = call.to.emit("MatMul", &[&rows, &name]);
        } else {
            let dims = [input as usize, output as usize];
            let turned: Vec<f32> = (0..input)
                .flat_map(|from| (0..output).map(move |to| (to * input + from) as usize))
                .map(|at| matrix[at])
                .collect();
            let columns = call.to.emitter.floats("columns", &dims, &turned);
            name = call.to.emit("MatMul", &[&name, &columns]);
        }
    }
    call.give(0, name);
    Ok(())
}

fn known(own: &Tensor, sizes: &[Size], axis: usize) -> Result<(i64, i64), Refusal> {
    let size = |sizes: &[Size]| sizes.get(axis).and_then(Size::known).filter(|&size| size > 0);
    match (size(&own.sizes), size(sizes)) {
        (Some(input), Some(output)) if input.checked_mul(output).is_some_and(|all| all <= MOST) => {
            Ok((input, output))
        }
        _ => Err(Refusal::new(
            "antialiasing of images of unknown size",
            "export the model with a fixed image size, or use antialias=False",
        )),
    }
}

/// The weight of each element of the input in each element of the output.
fn matrix(input: i64, output: i64, scale: f64, is_cubic: bool) -> Vec<f32> {
    let reach = if is_cubic { 2.0 } else { 1.0 };
    let widened = scale.max(1.0);
    let support = reach * widened;
    let mut matrix = Vec::with_capacity((input * output) as usize);
    for at in 0..output {
        let centre = scale * (at as f64 + 0.5);
        let first = ((centre - support + 0.5) as i64).max(0);
        let end = ((centre + support + 0.5) as i64).min(input);
        let weight = |from: i64| match (first..end).contains(&from) {
            true => filter((from as f64 - centre + 0.5) / widened, is_cubic),
            false => 0.0,
        };
        let total: f64 = (first..end).map(weight).sum();
        let total = if total == 0.0 { 1.0 } else { total };
        matrix.extend((0..input).map(|from| (weight(from) / total) as f32));
    }
    matrix
}

/// A triangle, or Keys' cubic kernel.
fn filter(distance: f64, is_cubic: bool) -> f64 {
    let x = distance.abs();
    let a = f64::from(CUBIC);
    match is_cubic {
        false => (1.0 - x).max(0.0),
        true if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        true if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * a,
        true => 0.0,
    }
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let is_cubic = eval.operator().contains("cubic");
    let align = eval.bool_or("align_corners", false)?;
    let (own, sizes) = evaluated_sizes(eval)?;
    let interpolation = match is_cubic {
        true => Interpolation::Cubic { coefficient: CUBIC, inside: true },
        false => Interpolation::Linear,
    };
    let coordinates = if align { Coordinates::AlignCorners } else { Coordinates::HalfPixel };
    one(resize(&own, &sizes, Resize { interpolation, coordinates, antialias: true }))
}

#[cfg(test)]
mod tests {
    use super::matrix;

    #[test]
    fn halving_averages_with_a_triangle() {
        let found = matrix(4, 2, 2.0, false);
        let expected = [0.428_571_43, 0.428_571_43, 0.142_857_15, 0.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
}
