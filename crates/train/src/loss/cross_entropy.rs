//! Cross-entropy: `- sum target log probability`, where one class of several is right.

use super::{Form, Graded, Rows, SMALLEST, log_softmax};
use crate::array::Array;
use crate::data::Targets;
use crate::error::OpError;

/// The cross-entropy of rows of logits or probabilities, and its gradient by them. Targets are
/// classes, or one distribution a row.
pub fn cross_entropy(prediction: &Array, targets: &Targets, form: Form) -> Result<Graded, OpError> {
    let rows = Rows::of(prediction)?;
    let targets = rows.distributions(targets)?;
    let scale = 1.0 / rows.count as f32;
    let mut gradient = Vec::with_capacity(rows.values.len());
    let mut sum = 0.0;
    for (row, targets) in rows.rows().zip(targets.chunks_exact(rows.columns)) {
        match form {
            Form::Logits => {
                let total: f32 = targets.iter().sum();
                for (log, target) in log_softmax(row).zip(targets) {
                    // 0 log 0 is 0.
                    if *target != 0.0 {
                        sum -= f64::from(*target) * f64::from(log);
                    }
                    gradient.push((log.exp() * total - target) * scale);
                }
            }
            Form::Probabilities => {
                for (&probability, target) in row.iter().zip(targets) {
                    let clipped = if probability < SMALLEST { SMALLEST } else { probability };
                    sum -= f64::from(*target) * f64::from(clipped).ln();
                    gradient.push(-target / clipped * scale);
                }
            }
        }
    }
    Ok(rows.graded(sum, gradient))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn the_articles_example() {
        let targets = Targets::Values(Array::floats([1, 2], vec![1.0, 0.0]));
        let probabilities = Array::floats([1, 2], vec![0.9, 0.1]);
        let graded = cross_entropy(&probabilities, &targets, Form::Probabilities).unwrap();
        assert!((graded.loss - 0.105).abs() < 5e-4, "{}", graded.loss);
        // The same probabilities as logits.
        let logits = Array::floats([1, 2], vec![0.9f32.ln(), 0.1f32.ln()]);
        let from_logits = cross_entropy(&logits, &targets, Form::Logits).unwrap();
        assert!((graded.loss - from_logits.loss).abs() < 1e-6);
    }

    #[test]
    fn gradients() {
        let targets = Targets::Classes(vec![2, 0]);
        let values = vec![0.3, -0.7, 1.2, 0.1, 0.8, -2.0];
        check([2, 3], values, |x| cross_entropy(x, &targets, Form::Logits));
        let values = vec![0.2, 0.3, 0.5, 0.4, 0.5, 0.1];
        check([2, 3], values, |x| cross_entropy(x, &targets, Form::Probabilities));
    }

    #[test]
    fn logits_of_any_size_are_stable() {
        let logits = Array::floats([1, 2], vec![1000.0, -1000.0]);
        let wrong = cross_entropy(&logits, &Targets::Classes(vec![1]), Form::Logits).unwrap();
        assert_eq!(wrong.loss, 2000.0);
        assert_eq!(wrong.gradient.as_floats().unwrap(), [1.0, -1.0]);
    }
}
