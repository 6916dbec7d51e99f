//! Activations by Keras' definitions.

use crate::EvaluateError;
use crate::keras::activations::Activation;
use crate::reference::activations as numbers;
use crate::reference::elementwise::{map, map_floats};
use crate::reference::{Array, shape, softmax};

impl Activation {
    /// Computes the function.
    pub(crate) fn evaluate(self, x: &Array) -> Result<Array, EvaluateError> {
        match self {
            Activation::Linear => Ok(x.clone()),
            Activation::Relu { max, slope, threshold } => {
                let max = max.unwrap_or(f32::INFINITY);
                map_floats(x, |x| {
                    if x >= max {
                        max
                    } else if x > threshold || (x == threshold && threshold == 0.0) {
                        x
                    } else if slope == 0.0 && !x.is_nan() {
                        // Not the product: x may be infinite.
                        0.0
                    } else {
                        // At the threshold itself nothing is left, whatever the documentation says.
                        slope * (x - threshold)
                    }
                })
            }
            Activation::Elu(alpha) => map(x, |x| numbers::elu(x, alpha.into())),
            Activation::Celu(alpha) => map(x, |x| numbers::celu(x, alpha.into())),
            Activation::Selu => map(x, numbers::selu),
            Activation::Gelu { approximate: true } => map(x, numbers::gelu_tanh),
            Activation::Gelu { approximate: false } => map(x, numbers::gelu),
            Activation::Sigmoid => map(x, numbers::sigmoid),
            Activation::Silu => map(x, numbers::silu),
            Activation::HardSigmoid(alpha) => {
                map(x, |x| numbers::hard_sigmoid(x, alpha.into(), 0.5))
            }
            Activation::HardSilu => map(x, numbers::hard_swish),
            Activation::Tanh => map(x, f64::tanh),
            Activation::HardTanh => map_floats(x, |x| x.clamp(-1.0, 1.0)),
            Activation::TanhShrink => map(x, |x| x - x.tanh()),
            Activation::HardShrink(limit) => map(x, |x| numbers::hard_shrink(x, limit.into())),
            Activation::SoftShrink(limit) => map(x, |x| numbers::soft_shrink(x, limit.into())),
            Activation::Threshold { threshold, other } => {
                map_floats(x, |x| if x > threshold { x } else { other })
            }
            Activation::Softplus => map(x, numbers::softplus),
            Activation::Softsign => map(x, numbers::softsign),
            Activation::Squareplus(b) => map(x, |x| (x + (x * x + f64::from(b)).sqrt()) / 2.0),
            Activation::SparsePlus => map(x, |x| {
                if x <= -1.0 {
                    0.0
                } else if x < 1.0 {
                    (x + 1.0) * (x + 1.0) / 4.0
                } else {
                    x
                }
            }),
            Activation::SparseSigmoid => map(x, |x| ((x + 1.0) / 2.0).clamp(0.0, 1.0)),
            Activation::Mish => map(x, numbers::mish),
            Activation::Exponential => map(x, f64::exp),
            Activation::LogSigmoid => map(x, |x| -numbers::softplus(-x)),
            Activation::Softmax(axis) => softmax::softmax(x, axis),
            Activation::LogSoftmax(axis) => softmax::log_softmax(x, axis),
            Activation::Glu(axis) => {
                let size = x.dims()[crate::reference::layout::axis(axis, x.rank())?];
                if !size.is_multiple_of(2) {
                    return Err(EvaluateError::new("the axis of a gated unit has an odd size"));
                }
                let halves = shape::split(x, axis, &[size / 2, size / 2])?;
                let gate = map(&halves[1], numbers::sigmoid)?;
                crate::reference::elementwise::mul(&halves[0], &gate)
            }
        }
    }
}
