//! Images sampled at places that a grid names.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::{Array, layout};

const GRID: &str = "input grid interpolation_mode padding_mode align_corners";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.grid_sampler.default", GRID, convert, evaluate),
    operator("aten.grid_sampler_2d.default", GRID, convert, evaluate),
];

/// The numbers that PyTorch has for modes.
const MODES: [&str; 2] = ["bilinear", "nearest"];
const PADDINGS: [&str; 3] = ["zeros", "border", "reflection"];

fn named<const N: usize>(names: [&'static str; N], number: i64) -> Option<&'static str> {
    names.get(usize::try_from(number).ok()?).copied()
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (input, grid) = (call.tensor("input")?, call.tensor("grid")?);
    if input.rank() != 4 {
        return Err(Refusal::new("sampling of volumes", "sample images, which have 4 axes"));
    }
    let mode = named(MODES, call.int_or("interpolation_mode", 0)?)
        .ok_or_else(|| Refusal::new("cubic sampling", "use mode 'bilinear'"))?;
    let padding = named(PADDINGS, call.int_or("padding_mode", 0)?)
        .ok_or_else(|| Refusal::new("an unknown padding mode", "use 'zeros'"))?;
    let sample = node("GridSample", &[&input.name, &grid.name])
        .with("mode", mode)
        .with("padding_mode", padding)
        .with("align_corners", i64::from(call.bool_or("align_corners", false)?));
    let result = call.to.emit_node(sample);
    call.give(0, result);
    Ok(())
}

/// How places outside of an image are seen.
#[derive(Clone, Copy)]
struct Sampling {
    padding: &'static str,
    align: bool,
    nearest: bool,
}

impl Sampling {
    /// Where a coordinate of the grid (-1 to 1) lies along an axis of this size.
    fn place(self, coordinate: f32, size: usize) -> f32 {
        let size = size as f32;
        let place = match self.align {
            true => (coordinate + 1.0) / 2.0 * (size - 1.0),
            false => ((coordinate + 1.0) * size - 1.0) / 2.0,
        };
        match self.padding {
            "border" => place.clamp(0.0, size - 1.0),
            "reflection" => {
                let (low, high) = if self.align { (0.0, size - 1.0) } else { (-0.5, size - 0.5) };
                reflected(place, low, high).clamp(0.0, size - 1.0)
            }
            _ => place,
        }
    }

    /// The elements along an axis that make up a place, and the weight of each.
    fn taps(self, place: f32) -> Vec<(f32, f32)> {
        if self.nearest {
            return vec![(place.round_ties_even(), 1.0)];
        }
        let first = place.floor();
        vec![(first, first + 1.0 - place), (first + 1.0, place - first)]
    }
}

fn reflected(place: f32, low: f32, high: f32) -> f32 {
    let span = high - low;
    if span <= 0.0 {
        return 0.0;
    }
    let from = (place - low).abs();
    let (extra, flips) = (from % span, (from / span).floor());
    if flips % 2.0 == 0.0 { extra + low } else { span - extra + low }
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let (input, grid) = (eval.tensor("input")?, eval.tensor("grid")?);
    let unknown = || EvaluateError::new("an unknown way of sampling");
    let mode = named(MODES, eval.int_or("interpolation_mode", 0)?).ok_or_else(unknown)?;
    let padding = named(PADDINGS, eval.int_or("padding_mode", 0)?).ok_or_else(unknown)?;
    let align = eval.bool_or("align_corners", false)?;
    one(sample(&input, &grid, Sampling { padding, align, nearest: mode == "nearest" }))
}

fn sample(input: &Array, grid: &Array, how: Sampling) -> Result<Array, EvaluateError> {
    let (&[batch, channels, height, width], &[count, rows, columns, 2]) =
        (input.dims(), grid.dims())
    else {
        return Err(EvaluateError::new("expected an image and a grid of pairs"));
    };
    if batch != count || height == 0 || width == 0 {
        return Err(EvaluateError::new("a grid for another number of images"));
    }
    let (pixels, places) = (input.as_floats()?, grid.as_floats()?);
    let dims = [batch, channels, rows, columns];
    let (area, points) = (height * width, rows * columns);
    let mut output = vec![0.0f32; layout::elements(&dims)?];
    for (at, pair) in places.chunks_exact(2).enumerate() {
        let (image, point) = (at / points, at % points);
        let across = how.taps(how.place(pair[0], width));
        for (y, share) in how.taps(how.place(pair[1], height)) {
            for &(x, part) in &across {
                let inside = y >= 0.0 && x >= 0.0 && y < height as f32 && x < width as f32;
                if !inside {
                    continue;
                }
                let pixel = y as usize * width + x as usize;
                for channel in 0..channels {
                    let plane = image * channels + channel;
                    output[plane * points + point] += share * part * pixels[plane * area + pixel];
                }
            }
        }
    }
    Array::floats(&dims, output)
}

#[cfg(test)]
mod tests {
    use super::reflected;

    #[test]
    fn places_outside_are_mirrored() {
        assert_eq!(reflected(-1.0, 0.0, 3.0), 1.0);
        assert_eq!(reflected(4.0, 0.0, 3.0), 2.0);
        assert_eq!(reflected(7.0, 0.0, 3.0), 1.0);
    }
}
