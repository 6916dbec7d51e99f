//! Kullback-Leibler divergence `sum target log(target / probability)`: how much is lost when the
//! prediction stands for the target distribution.

use super::{Form, Graded, Rows, cross_entropy};
use crate::array::Array;
use crate::data::Targets;
use crate::error::OpError;

/// The divergence from rows of logits or probabilities to target distributions, and its gradient
/// by the prediction: the cross-entropy without what the targets have of it by themselves, which
/// no prediction can change.
pub fn kl_divergence(prediction: &Array, targets: &Targets, form: Form) -> Result<Graded, OpError> {
    let mut graded = cross_entropy(prediction, targets, form)?;
    let rows = Rows::of(prediction)?;
    let targets = rows.distributions(targets)?;
    // 0 log 0 is 0.
    let positive = targets.iter().filter(|target| **target > 0.0).map(|target| f64::from(*target));
    graded.loss += positive.map(|target| target * target.ln()).sum::<f64>() / rows.count as f64;
    Ok(graded)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn is_zero_for_equal_distributions_and_has_its_gradient() {
        let targets = Targets::Values(Array::floats([1, 3], vec![0.2, 0.5, 0.3]));
        let same = Array::floats([1, 3], vec![0.2, 0.5, 0.3]);
        let graded = kl_divergence(&same, &targets, Form::Probabilities).unwrap();
        assert!(graded.loss.abs() < 1e-9);
        check([1, 3], vec![0.6, 0.1, 0.3], |x| kl_divergence(x, &targets, Form::Probabilities));
        check([1, 3], vec![0.6, -0.1, 1.3], |x| kl_divergence(x, &targets, Form::Logits));
    }

    #[test]
    fn two_coins() {
        // KL([1/2, 1/2] || [1/4, 3/4]) = 1/2 ln 2 + 1/2 ln 2/3 = 0.1438
        let targets = Targets::Values(Array::floats([1, 2], vec![0.5, 0.5]));
        let prediction = Array::floats([1, 2], vec![0.25, 0.75]);
        let graded = kl_divergence(&prediction, &targets, Form::Probabilities).unwrap();
        assert!((graded.loss - 0.143_841).abs() < 1e-5, "{}", graded.loss);
    }
}
