//! What resizing computes along one axis, by ONNX's definition of `Resize`.

use crate::export::saved_model::value::Refusal;

/// How an axis is resized.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) coordinates: Coordinates,
    pub(super) kernel: Kernel,
    pub(super) rounding: Rounding,
    pub(super) antialias: bool,
    pub(super) exclude_outside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kernel {
    Nearest,
    Linear,
    /// With its coefficient.
    Cubic(f64),
}

/// Where an element of the result is in the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    TorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

/// Which neighbour is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// Sizes of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) scale: f32,
}

/// An operator of TensorFlow with its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) operator: &'static str,
    pub(super) align_corners: bool,
    pub(super) half_pixel_centers: bool,
}

impl Axis {
    /// Where element `index` of the result is in the original.
    fn place(&self, coordinates: Coordinates, index: usize) -> f32 {
        let (x, scale) = (index as f32, self.scale);
        let (input, output) = (self.input as f32, self.output as f32);
        match coordinates {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * input);
                let center = input / 2.0;
                center * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
            }
            Coordinates::TorchHalfPixel if self.output == 1 => 0.0,
            Coordinates::TorchHalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if self.output == 1 => 0.0,
            Coordinates::AlignCorners => x * (input - 1.0) / (output - 1.0),
            Coordinates::Asymmetric => x / scale,
        }
    }
}

/// The operator of TensorFlow that computes the same along an axis; `None` for the axis stands for
/// sizes of which nothing is known.
pub(super) fn native(how: &How, input: Option<usize>, axis: Option<Axis>) -> Option<Native> {
    if how.antialias {
        return None;
    }
    match how.kernel {
        Kernel::Nearest => {
            let axis = axis?;
            let operator = "ResizeNearestNeighbor";
            let found = Native { operator, align_corners: false, half_pixel_centers: false };
            (nearest(how, &axis) == floors(&axis)).then_some(found)
        }
        Kernel::Linear => {
            let align_corners = how.coordinates == Coordinates::AlignCorners;
            let half_pixel_centers = match how.coordinates {
                Coordinates::HalfPixel => true,
                Coordinates::TorchHalfPixel => input.is_some() && axis?.output != 1,
                Coordinates::Asymmetric | Coordinates::AlignCorners => false,
                Coordinates::HalfPixelSymmetric => return None,
            };
            if how.coordinates == Coordinates::TorchHalfPixel && !half_pixel_centers {
                return None;
            }
            // TensorFlow knows no scale but that of the sizes.
            let axis = axis?;
            let is_exact = axis.scale == axis.output as f32 / axis.input.max(1) as f32;
            let operator = "ResizeBilinear";
            (align_corners || is_exact).then_some(Native {
                operator,
                align_corners,
                half_pixel_centers,
            })
        }
        Kernel::Cubic(_) => None,
    }
}

/// The elements that TensorFlow's operator takes.
fn floors(axis: &Axis) -> Vec<usize> {
    let scale = axis.input as f32 / axis.output.max(1) as f32;
    let last = axis.input.saturating_sub(1);
    (0..axis.output).map(|index| ((index as f32 * scale).floor() as usize).min(last)).collect()
}

/// The elements that are taken.
pub(super) fn nearest(how: &How, axis: &Axis) -> Vec<usize> {
    let last = axis.input.saturating_sub(1) as f32;
    let place = |index: usize| {
        let x = axis.place(how.coordinates, index);
        let rounded = match how.rounding {
            Rounding::PreferFloor if x == x.trunc() + 0.5 => x.floor(),
            Rounding::PreferCeil | Rounding::PreferFloor => x.round(),
            Rounding::Floor => x.floor(),
            Rounding::Ceil => x.ceil(),
        };
        rounded.clamp(0.0, last.max(0.0)) as usize
    };
    (0..axis.output).map(place).collect()
}

/// Numbers that a matrix may have.
const MOST_WEIGHTS: usize = 1 << 26;

/// The matrix that the axis is multiplied by, `[output, input]`.
pub(super) fn weights(how: &How, axis: &Axis) -> Result<Vec<f64>, Refusal> {
    let (input, output) = (axis.input, axis.output);
    let count = input.checked_mul(output).filter(|&count| count <= MOST_WEIGHTS && input > 0);
    let count = count.ok_or_else(|| {
        Refusal::new(format!("{input} elements as {output}"), "use smaller images")
    })?;
    let mut matrix = vec![0.0; count];
    for (index, row) in matrix.chunks_mut(input).enumerate() {
        let x = f64::from(axis.place(how.coordinates, index));
        // What is made smaller takes the mean of more.
        let shrink = if how.antialias { f64::from(axis.scale).min(1.0) } else { 1.0 };
        let reach = match how.kernel {
            Kernel::Cubic(_) => 2.0,
            _ => 1.0,
        } / shrink;
        let (first, last) = ((x - reach).floor() as i64, (x + reach).ceil() as i64);
        let mut sum = 0.0;
        for place in first..=last {
            let weight = weight(how.kernel, (x - place as f64) * shrink);
            let inside = (0..input as i64).contains(&place);
            if (how.exclude_outside || how.antialias) && !inside {
                continue;
            }
            let place = place.clamp(0, input as i64 - 1) as usize;
            row[place] += weight;
            sum += weight;
        }
        if sum != 0.0 {
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
    }
    Ok(matrix)
}

/// How much an element at this distance counts.
fn weight(kernel: Kernel, distance: f64) -> f64 {
    let x = distance.abs();
    match kernel {
        Kernel::Cubic(a) if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        Kernel::Cubic(a) if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        Kernel::Cubic(_) => 0.0,
        _ => (1.0 - x).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAREST: How = How {
        coordinates: Coordinates::HalfPixel,
        kernel: Kernel::Nearest,
        rounding: Rounding::PreferFloor,
        antialias: false,
        exclude_outside: false,
    };

    #[test]
    fn twice_as_large_is_each_twice() {
        let axis = Axis { input: 3, output: 6, scale: 2.0 };
        assert_eq!(nearest(&NEAREST, &axis), [0, 0, 1, 1, 2, 2]);
        assert!(native(&NEAREST, Some(3), Some(axis)).is_some());
        let up = How { rounding: Rounding::Ceil, ..NEAREST };
        assert_eq!(nearest(&up, &axis), [0, 1, 1, 2, 2, 2]);
        assert_eq!(native(&up, Some(3), Some(axis)), None);
    }

    #[test]
    fn rows_sum_to_one() {
        let axis = Axis { input: 5, output: 8, scale: 1.6 };
        let cubic = How { kernel: Kernel::Cubic(-0.75), ..NEAREST };
        let matrix = weights(&cubic, &axis).unwrap();
        for row in matrix.chunks(5) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
