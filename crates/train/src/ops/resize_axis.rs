//! How one axis is interpolated (ONNX, "Resize"): where an element of the result lies in the
//! input, and which elements there it is made of.

use crate::error::OpError;

/// Where the elements of the result lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coordinates {
    /// Elements have a width; the ends of both axes meet.
    HalfPixel,
    /// The same, with the middles of both axes meeting where sizes were rounded.
    HalfPixelSymmetric,
    /// As `HalfPixel`, but for a result of one element.
    PytorchHalfPixel,
    /// The middles of the first and of the last elements meet.
    AlignCorners,
    /// The middles of the first elements meet.
    Asymmetric,
    /// Opset 11 and 12: the left ends of the elements of the result.
    TfHalfPixelForNearest,
}

impl Coordinates {
    /// Reads attribute `coordinate_transformation_mode`.
    pub(super) fn read(name: &str) -> Result<Coordinates, OpError> {
        Ok(match name {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNearest,
            _ => {
                return Err(OpError::new(format!(
                    "attribute coordinate_transformation_mode is '{name}', training covers \
                     half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, \
                     asymmetric, tf_half_pixel_for_nn"
                )));
            }
        })
    }

    /// Where element `element` of `output` lies among the `input` elements.
    pub(super) fn source(self, element: usize, input: usize, output: usize, scale: f64) -> f64 {
        let (at, from, to) = (element as f64, input as f64, output as f64);
        match self {
            Coordinates::PytorchHalfPixel if output <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (at + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = to / (scale * from);
                from / 2.0 * (1.0 - adjustment) + (at + 0.5) / scale - 0.5
            }
            Coordinates::AlignCorners if output <= 1 => 0.0,
            Coordinates::AlignCorners => at * (from - 1.0) / (to - 1.0),
            Coordinates::Asymmetric => at / scale,
            Coordinates::TfHalfPixelForNearest => (at + 0.5) / scale,
        }
    }
}

/// How a place between two elements becomes one of them: for axes that grow, and that shrink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nearest {
    up: fn(f64) -> f64,
    down: fn(f64) -> f64,
}

impl Nearest {
    /// Opset 10 and before.
    pub(super) const UP_FLOOR_DOWN_CEIL: Nearest = Nearest { up: f64::floor, down: f64::ceil };

    /// Reads attribute `nearest_mode`.
    pub(super) fn read(name: &str) -> Result<Nearest, OpError> {
        let round: fn(f64) -> f64 = match name {
            "round_prefer_floor" => |at| (at - 0.5).ceil(),
            "round_prefer_ceil" => |at| (at + 0.5).floor(),
            "floor" => f64::floor,
            "ceil" => f64::ceil,
            _ => {
                return Err(OpError::new(format!(
                    "attribute nearest_mode is '{name}', expected round_prefer_floor, \
                     round_prefer_ceil, floor or ceil"
                )));
            }
        };
        Ok(Nearest { up: round, down: round })
    }
}

/// What an element of the result is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interpolation {
    /// The nearest element.
    Nearest(Nearest),
    /// Both neighbours.
    Linear,
    /// Two neighbours on each side (Keys, "Cubic convolution interpolation for digital image
    /// processing", 1981).
    Cubic {
        /// Keys' parameter.
        a: f64,
        /// Whether neighbours outside are left out, rather than taken to be the outermost.
        excludes_outside: bool,
    },
}

impl Interpolation {
    /// Elements among `input` and their weights, for a place among them. None where there are
    /// none.
    pub(super) fn terms(&self, at: f64, input: usize, scale: f32) -> Vec<(usize, f32)> {
        let Some(last) = input.checked_sub(1) else { return Vec::new() };
        let clamp = |number: f64| number.clamp(0.0, last as f64) as usize;
        let below = at.floor();
        match *self {
            Interpolation::Nearest(nearest) => {
                let round = if scale < 1.0 { nearest.down } else { nearest.up };
                vec![(clamp(round(at)), 1.0)]
            }
            Interpolation::Linear => {
                let part = (at - below) as f32;
                joined([(clamp(below), 1.0 - part), (clamp(below + 1.0), part)])
            }
            Interpolation::Cubic { a, excludes_outside } => {
                let terms = [-1.0, 0.0, 1.0, 2.0].map(|step| {
                    let outside = !(0.0..=last as f64).contains(&(below + step));
                    let weight = cubic(a, (at - below - step).abs());
                    (clamp(below + step), if outside && excludes_outside { 0.0 } else { weight })
                });
                let sum: f64 = match excludes_outside {
                    true => terms.iter().map(|(_, weight)| weight).sum(),
                    false => 1.0,
                };
                joined(terms.map(|(number, weight)| (number, (weight / sum) as f32)))
            }
        }
    }
}

/// Terms of one element are one term; those without weight are none.
fn joined<const N: usize>(terms: [(usize, f32); N]) -> Vec<(usize, f32)> {
    let mut joined: Vec<(usize, f32)> = Vec::with_capacity(N);
    for (number, weight) in terms {
        match joined.last_mut() {
            Some(last) if last.0 == number => last.1 += weight,
            _ => joined.push((number, weight)),
        }
    }
    joined.retain(|&(_, weight)| weight != 0.0);
    joined
}

/// Keys' weight of an element this far away.
fn cubic(a: f64, distance: f64) -> f64 {
    let d = distance;
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
