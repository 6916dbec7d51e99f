//! Binary cross-entropy: each number of a row answers its own yes or no.

use super::{Form, Graded, Rows, SMALLEST};
use crate::array::Array;
use crate::data::Targets;
use crate::error::OpError;

/// The binary cross-entropy of logits or probabilities, a mean over all elements, and its
/// gradient by them. Targets are values in 0..=1; with one column also the classes 0 and 1.
pub fn binary_cross_entropy(
    prediction: &Array,
    targets: &Targets,
    form: Form,
) -> Result<Graded, OpError> {
    let rows = Rows::of(prediction)?;
    let targets = match targets {
        Targets::Classes(classes) if rows.columns == 1 && classes.len() == rows.count => {
            if let Some(class) = classes.iter().find(|&&class| class > 1) {
                return Err(OpError::new(format!("expected the classes 0 and 1, found {class}")));
            }
            classes.iter().map(|&class| class as f32).collect()
        }
        _ => rows.distributions(targets)?,
    };
    let scale = 1.0 / rows.values.len() as f32;
    let mut sum = 0.0;
    let gradient = rows.values.iter().zip(&targets).map(|(&x, &target)| match form {
        Form::Logits => {
            // max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows.
            let exp = (-x.abs()).exp();
            sum += f64::from(x.max(0.0) - x * target) + f64::from(exp).ln_1p();
            let sigmoid = if x >= 0.0 { 1.0 / (1.0 + exp) } else { exp / (1.0 + exp) };
            (sigmoid - target) * scale
        }
        Form::Probabilities => {
            let p = x.clamp(SMALLEST, 1.0 - SMALLEST);
            sum -= f64::from(target) * f64::from(p).ln()
                + f64::from(1.0 - target) * f64::from(1.0 - p).ln();
            (p - target) / (p * (1.0 - p)) * scale
        }
    });
    let gradient = gradient.collect();
    Ok(rows.graded(sum / rows.columns as f64, gradient))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn both_forms_agree_and_gradients_hold() {
        let targets = Targets::Values(Array::floats([2, 2], vec![1.0, 0.0, 0.3, 1.0]));
        let logits = vec![0.4, -1.3, 2.0, 0.7];
        let probabilities: Vec<f32> =
            logits.iter().map(|x: &f32| 1.0 / (1.0 + (-x).exp())).collect();
        let one =
            binary_cross_entropy(&Array::floats([2, 2], logits.clone()), &targets, Form::Logits);
        let two = Array::floats([2, 2], probabilities.clone());
        let two = binary_cross_entropy(&two, &targets, Form::Probabilities).unwrap();
        assert!((one.unwrap().loss - two.loss).abs() < 1e-6);
        check([2, 2], logits, |x| binary_cross_entropy(x, &targets, Form::Logits));
        check([2, 2], probabilities, |x| binary_cross_entropy(x, &targets, Form::Probabilities));
    }

    #[test]
    fn one_column_takes_two_classes() {
        let prediction = Array::floats([2, 1], vec![100.0, -100.0]);
        let graded = binary_cross_entropy(&prediction, &Targets::Classes(vec![1, 0]), Form::Logits);
        assert!(graded.unwrap().loss < 1e-9);
        let error = binary_cross_entropy(&prediction, &Targets::Classes(vec![2, 0]), Form::Logits);
        assert_eq!(error.unwrap_err().to_string(), "expected the classes 0 and 1, found 2");
    }
}
