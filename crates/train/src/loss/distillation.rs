//! Distillation: a student learns the softened answers of a teacher, and the labels.
//!
//! `alpha T² KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) CE(student, label)`,
//! after Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015. The factor T²
//! keeps the gradients of the soft part as large as those of the hard part whatever T is.

use super::{Graded, Rows, log_softmax};
use crate::array::Array;
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

/// The distillation loss of rows of student logits, and its gradient by them. `classes` has an
/// entry a row.
pub fn distillation(
    logits: &Array,
    teacher: &Array,
    classes: &[Option<usize>],
    settings: Distillation,
) -> Result<Graded, OpError> {
    let rows = Rows::of(logits)?;
    if teacher.len() != rows.values.len() || classes.len() != rows.count {
        return Err(OpError::new(format!(
            "expected a teacher's logits like the student's of shape {}, found shape {}",
            rows.shape,
            teacher.shape()
        )));
    }
    let mut gradient = vec![0.0; rows.values.len()];
    let mut sum = 0.0;
    let teachers = teacher.as_floats()?.chunks_exact(rows.columns);
    let outs = gradient.chunks_exact_mut(rows.columns);
    for (((student, teacher), class), out) in rows.rows().zip(teachers).zip(classes).zip(outs) {
        let alpha = if class.is_some() { settings.alpha } else { 1.0 };
        sum += f64::from(alpha) * soft(student, teacher, (settings.temperature, alpha), out);
        if let Some(class) = class {
            sum += f64::from(1.0 - alpha) * hard(student, *class, 1.0 - alpha, out)?;
        }
    }
    vector::scale(&mut gradient, 1.0 / rows.count as f32);
    Ok(rows.graded(sum, gradient))
}

/// `T² KL` of one row; adds its gradient, times `weight`.
fn soft(
    student: &[f32],
    teacher: &[f32],
    (temperature, weight): (f32, f32),
    out: &mut [f32],
) -> f64 {
    let cooled =
        |logits: &[f32]| logits.iter().map(|logit| logit / temperature).collect::<Vec<_>>();
    let (student, teacher) = (cooled(student), cooled(teacher));
    let mut sum = 0.0;
    let pairs = log_softmax(&student).zip(log_softmax(&teacher));
    for ((student, teacher), out) in pairs.zip(out) {
        let wanted = teacher.exp();
        // 0 log 0 is 0.
        if wanted > 0.0 {
            sum += f64::from(wanted) * f64::from(teacher - student);
        }
        // T² times 1/T: by the logits themselves, not the cooled ones.
        *out += weight * temperature * (student.exp() - wanted);
    }
    sum * f64::from(temperature) * f64::from(temperature)
}

/// The cross-entropy of one row; adds its gradient, times `weight`.
fn hard(student: &[f32], class: usize, weight: f32, out: &mut [f32]) -> Result<f64, OpError> {
    let columns = student.len();
    let mut loss = Err(OpError::new(format!(
        "an example is of class {class}, the student tells {columns} apart"
    )));
    for (number, (log, out)) in log_softmax(student).zip(out).enumerate() {
        let wanted = if number == class { 1.0 } else { 0.0 };
        *out += weight * (log.exp() - wanted);
        if number == class {
            loss = Ok(-f64::from(log));
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::super::{Form, cross_entropy};
    use super::*;
    use crate::data::Targets;

    const SETTINGS: Distillation = Distillation { temperature: 4.0, alpha: 0.7 };

    #[test]
    fn gradients_with_and_without_labels() {
        let teacher = Array::floats([2, 3], vec![4.0, 1.0, -2.0, 0.0, 3.0, 2.5]);
        let student = vec![0.5, 0.2, -1.0, 1.5, 0.1, 0.3];
        let labels = [Some(0), None];
        check([2, 3], student.clone(), |x| distillation(x, &teacher, &labels, SETTINGS));
        check([2, 3], student, |x| distillation(x, &teacher, &[None, None], SETTINGS));
    }

    #[test]
    fn a_student_that_agrees_with_its_teacher_has_only_the_hard_part() {
        let logits = Array::floats([1, 2], vec![1.0, -1.0]);
        let soft = distillation(&logits, &logits, &[None], SETTINGS).unwrap();
        assert!(soft.loss.abs() < 1e-6);
        let mixed = distillation(&logits, &logits, &[Some(0)], SETTINGS).unwrap();
        let hard = cross_entropy(&logits, &Targets::Classes(vec![0]), Form::Logits).unwrap();
        assert!((mixed.loss - f64::from(1.0 - SETTINGS.alpha) * hard.loss).abs() < 1e-6);
    }
}
