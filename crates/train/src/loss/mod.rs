//! Losses: one number that says how wrong an answer is, and its gradient by the answer.
//!
//! All are means over the examples of a batch. Predictions are matrices of one row an example;
//! further dimensions are taken as more columns. Values are summed in `f64`.
//!
//! | module | loss |
//! |---|---|
//! | `mean_squared_error` | regression |
//! | `cross_entropy` | one class of several, from probabilities or from logits |
//! | `binary_cross_entropy` | independent yes and no, from probabilities or from logits |
//! | `kl_divergence` | from one distribution to another |
//! | `distillation` | a teacher's softened distribution, mixed with the labels |

mod binary_cross_entropy;
mod cross_entropy;
mod distillation;
mod kl_divergence;
mod mean_squared_error;

pub use binary_cross_entropy::binary_cross_entropy;
pub use cross_entropy::cross_entropy;
pub use distillation::{Distillation, distillation};
pub use kl_divergence::kl_divergence;
pub use mean_squared_error::mean_squared_error;

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::data::Targets;
use crate::error::OpError;

/// A loss and its gradient by the prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Graded {
    /// The mean over the examples.
    pub loss: f64,
    /// Of the shape of the prediction.
    pub gradient: Array,
}

/// What the numbers of a prediction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What goes into a softmax or sigmoid: any numbers. Losses of logits are numerically stable.
    Logits,
    /// What comes out of one: numbers in 0..=1.
    Probabilities,
}

/// Probabilities are taken as no smaller than this before their logarithm, as Keras does: a loss
/// from probabilities cannot see further.
const SMALLEST: f32 = 1e-7;

/// A prediction as rows of columns.
struct Rows<'a> {
    values: &'a [f32],
    shape: &'a Shape,
    count: usize,
    columns: usize,
}

impl<'a> Rows<'a> {
    fn of(prediction: &'a Array) -> Result<Rows<'a>, OpError> {
        let shape = prediction.shape();
        let count = shape.first().copied().unwrap_or(0);
        if count == 0 || prediction.is_empty() {
            return Err(OpError::new(format!("expected rows of a batch, found shape {shape}")));
        }
        Ok(Rows {
            values: prediction.as_floats()?,
            shape,
            count,
            columns: prediction.len() / count,
        })
    }

    fn rows(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.values.chunks_exact(self.columns)
    }

    fn graded(&self, sum: f64, gradient: Vec<f32>) -> Graded {
        Graded {
            loss: sum / self.count as f64,
            gradient: Array::floats(self.shape.clone(), gradient),
        }
    }

    /// Targets as one distribution a row: classes become one-hot.
    fn distributions(&self, targets: &Targets) -> Result<Vec<f32>, OpError> {
        match targets {
            Targets::Classes(classes) if classes.len() == self.count => {
                let mut values = vec![0.0; self.values.len()];
                for (row, &class) in values.chunks_exact_mut(self.columns).zip(classes) {
                    *row.get_mut(class).ok_or_else(|| {
                        OpError::new(format!(
                            "an example is of class {class}, the model tells {} apart",
                            self.columns
                        ))
                    })? = 1.0;
                }
                Ok(values)
            }
            Targets::Values(values) if values.len() == self.values.len() => {
                Ok(values.as_floats()?.to_vec())
            }
            _ => Err(OpError::new(format!(
                "expected targets for a prediction of shape {}, found {}",
                self.shape,
                describe(targets)
            ))),
        }
    }
}

/// What targets are, for errors.
fn describe(targets: &Targets) -> String {
    match targets {
        Targets::Classes(classes) => format!("{} classes", classes.len()),
        Targets::Values(values) => format!("values of shape {}", values.shape()),
        Targets::Soft { logits, .. } => format!("a teacher's logits of shape {}", logits.shape()),
        Targets::Unknown => "none".into(),
    }
}

/// Logarithms of the probabilities that a softmax makes of these logits.
fn log_softmax(logits: &[f32]) -> impl Iterator<Item = f32> + Clone {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    let shift = most + sum.ln();
    logits.iter().map(move |logit| logit - shift)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Checks the gradient of a loss against finite differences.
    pub(crate) fn check(
        shape: [usize; 2],
        values: Vec<f32>,
        loss: impl Fn(&Array) -> Result<Graded, OpError>,
    ) {
        let graded = loss(&Array::floats(shape, values.clone())).unwrap();
        let step = 1e-3;
        for (index, &found) in graded.gradient.as_floats().unwrap().iter().enumerate() {
            let at = |offset: f32| {
                let mut values = values.clone();
                values[index] += offset;
                loss(&Array::floats(shape, values)).unwrap().loss
            };
            let expected = (at(step) - at(-step)) / f64::from(2.0 * step);
            assert!(
                (f64::from(found) - expected).abs() < 3e-3 * expected.abs().max(1.0),
                "gradient [{index}]: {found}, finite difference {expected}"
            );
        }
    }

    #[test]
    fn targets_that_do_not_fit_are_named() {
        let prediction = Array::floats([1, 2], vec![0.0, 1.0]);
        let error = cross_entropy(&prediction, &Targets::Classes(vec![2]), Form::Logits);
        assert_eq!(
            error.unwrap_err().to_string(),
            "an example is of class 2, the model tells 2 apart"
        );
        let error = mean_squared_error(&prediction, &Targets::Unknown).unwrap_err().to_string();
        assert_eq!(error, "expected targets for a prediction of shape [1,2], found none");
    }
}
