//! Distillation: a student learns the softened answers of a teacher, and the labels.
//!
//! `alpha T² KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) CE(student, label)`,
//! after Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015. The factor T²
//! keeps the gradients of the soft part as large as those of the hard part whatever T is.

use super::{Form, Graded, cross_entropy, kl_divergence, log_softmax};
use crate::array::Array;
use crate::data::Targets;
use crate::error::OpError;
use crate::math::vector;

/// How much a student listens to its teacher.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// Divides the logits of both before the softmax; above 1, wrong answers of the teacher speak
    /// louder.
    pub temperature: f32,
    /// Weight of the teacher, in 0..=1; the labels have the rest. Without labels it is 1.
    pub alpha: f32,
}

/// The distillation loss of rows of student logits, and its gradient by them.
pub fn distillation(
    logits: &Array,
    teacher: &Array,
    classes: Option<&[usize]>,
    settings: Distillation,
) -> Result<Graded, OpError> {
    let alpha = if classes.is_some() { settings.alpha } else { 1.0 };
    let temperature = settings.temperature;
    let soft = Targets::Values(softened(teacher, temperature)?);
    let cooled = logits.as_floats()?.iter().map(|logit| logit / temperature).collect();
    let cooled = Array::floats(logits.shape().clone(), cooled);
    let mut graded = kl_divergence(&cooled, &soft, Form::Logits)?;
    // By the logits themselves the gradient is 1/T of that by the cooled ones.
    graded.loss *= f64::from(alpha * temperature * temperature);
    vector::scale(graded.gradient.floats_mut()?, alpha * temperature);
    if let Some(classes) = classes {
        let hard = cross_entropy(logits, &Targets::Classes(classes.to_vec()), Form::Logits)?;
        graded.loss += f64::from(1.0 - alpha) * hard.loss;
        let mut hard = hard.gradient.into_floats()?;
        vector::scale(&mut hard, 1.0 - alpha);
        vector::add(graded.gradient.floats_mut()?, &hard);
    }
    Ok(graded)
}

/// `softmax(logits / temperature)`, row by row.
fn softened(logits: &Array, temperature: f32) -> Result<Array, OpError> {
    let columns = logits.shape().iter().skip(1).product::<usize>().max(1);
    let cooled: Vec<f32> = logits.as_floats()?.iter().map(|logit| logit / temperature).collect();
    let rows = cooled.chunks_exact(columns);
    let values = rows.flat_map(|row| log_softmax(row).map(f32::exp).collect::<Vec<_>>()).collect();
    Ok(Array::floats(logits.shape().clone(), values))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    const SETTINGS: Distillation = Distillation { temperature: 4.0, alpha: 0.7 };

    #[test]
    fn gradients_with_and_without_labels() {
        let teacher = Array::floats([2, 3], vec![4.0, 1.0, -2.0, 0.0, 3.0, 2.5]);
        let student = vec![0.5, 0.2, -1.0, 1.5, 0.1, 0.3];
        let labels = [0, 1];
        check([2, 3], student.clone(), |x| distillation(x, &teacher, Some(&labels), SETTINGS));
        check([2, 3], student, |x| distillation(x, &teacher, None, SETTINGS));
    }

    #[test]
    fn a_student_that_agrees_with_its_teacher_has_only_the_hard_part() {
        let logits = Array::floats([1, 2], vec![1.0, -1.0]);
        let soft = distillation(&logits, &logits, None, SETTINGS).unwrap();
        assert!(soft.loss.abs() < 1e-6);
        let mixed = distillation(&logits, &logits, Some(&[0]), SETTINGS).unwrap();
        let hard = cross_entropy(&logits, &Targets::Classes(vec![0]), Form::Logits).unwrap();
        assert!((mixed.loss - f64::from(1.0 - SETTINGS.alpha) * hard.loss).abs() < 1e-6);
    }
}
