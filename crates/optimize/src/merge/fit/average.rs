//! Weights of an average: the least cross-entropy, or the least mean squared error.

use super::simplex::least;
use super::{Answers, Truth};
use crate::OptimizeError;
use crate::merge::Gives;

/// A probability below this counts as this: one example that all members get wrong for sure must not
/// decide alone.
const LEAST_PROBABILITY: f64 = 1e-12;

/// Weights below this are zero: such a member costs its time and adds nothing.
const LEAST_WEIGHT: f64 = 1e-4;

/// The weights, of sum one, whose average is nearest to the truth: by cross-entropy for classes, by mean
/// squared error for values.
pub fn average(answers: &Answers<'_>, truth: Truth<'_>) -> Result<Vec<f64>, OptimizeError> {
    answers.check(truth)?;
    let count = answers.members.len();
    let weights = match truth {
        Truth::Values(values) => least(count, |weights| squared_error(answers, values, weights)),
        Truth::Classes(classes) if answers.gives == Gives::Probabilities => {
            let right = probabilities(answers, classes);
            least(count, |weights| mixture(&right, weights))
        }
        Truth::Classes(classes) => least(count, |weights| logits(answers, classes, weights)),
    };
    let kept: Vec<f64> = weights.iter().map(|&w| if w < LEAST_WEIGHT { 0.0 } else { w }).collect();
    crate::merge::normalized(&kept, count)
}

/// Each example's right class as each member sees it: a row of members an example.
fn probabilities(answers: &Answers<'_>, classes: &[usize]) -> Vec<f64> {
    let width = answers.width;
    let of = |example: usize, class: usize, values: &[f32]| match width {
        1 => {
            let second = f64::from(values[example]);
            if class == 1 { second } else { 1.0 - second }
        }
        _ => f64::from(values[example * width + class]),
    };
    let rows = classes.iter().enumerate();
    rows.flat_map(|(example, &class)| {
        answers.members.iter().map(move |values| of(example, class, values))
    })
    .collect()
}

/// `-mean log Σ wᵢ pᵢ[y]` and its gradient.
fn mixture(right: &[f64], weights: &[f64]) -> (f64, Vec<f64>) {
    let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
    let rows = right.chunks_exact(weights.len());
    let count = rows.len() as f64;
    for row in rows {
        let mixed: f64 = row.iter().zip(weights).map(|(p, w)| p * w).sum();
        let mixed = mixed.max(LEAST_PROBABILITY);
        loss -= mixed.ln();
        for (slope, p) in gradient.iter_mut().zip(row) {
            *slope -= p / mixed;
        }
    }
    (loss / count, gradient.into_iter().map(|slope| slope / count).collect())
}

/// Cross-entropy of `softmax(Σ wᵢ zᵢ)`, of the sigmoid where there is one number, and its gradient.
fn logits(answers: &Answers<'_>, classes: &[usize], weights: &[f64]) -> (f64, Vec<f64>) {
    let width = answers.width;
    let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
    for (example, &class) in classes.iter().enumerate() {
        let row = |values: &'_ [f32], column: usize| f64::from(values[example * width + column]);
        let mut scores: Vec<f64> = (0..width)
            .map(|column| {
                let members = answers.members.iter().zip(weights);
                members.map(|(values, weight)| weight * row(values, column)).sum()
            })
            .collect();
        // One number is the logit of the second class against zero of the first.
        if width == 1 {
            scores.insert(0, 0.0);
        }
        loss += entropy(&mut scores, class);
        for (slope, values) in gradient.iter_mut().zip(&answers.members) {
            let columns = scores.len() - width;
            *slope += (0..width).map(|c| scores[c + columns] * row(values, c)).sum::<f64>();
        }
    }
    let count = classes.len() as f64;
    (loss / count, gradient.into_iter().map(|slope| slope / count).collect())
}

/// Cross-entropy of logits, which become its slopes.
pub(super) fn entropy(scores: &mut [f64], class: usize) -> f64 {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = scores[class] - most;
    scores.iter_mut().for_each(|score| *score = (*score - most).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores[class] -= 1.0;
    sum.ln() - own
}

/// `mean (Σ wᵢ yᵢ - t)²` and its gradient.
fn squared_error(answers: &Answers<'_>, truth: &[f32], weights: &[f64]) -> (f64, Vec<f64>) {
    let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
    for (number, &value) in truth.iter().enumerate() {
        let members = answers.members.iter().zip(weights);
        let mixed: f64 = members.map(|(values, weight)| weight * f64::from(values[number])).sum();
        let gap = mixed - f64::from(value);
        loss += gap * gap;
        for (slope, values) in gradient.iter_mut().zip(&answers.members) {
            *slope += 2.0 * gap * f64::from(values[number]);
        }
    }
    let count = truth.len() as f64;
    (loss / count, gradient.into_iter().map(|slope| slope / count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        for (one, two) in found.iter().zip(expected) {
            assert!((one - two).abs() < 1e-3, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn values_between_two_members_are_met() {
        // The truth is 0.3 of the first and 0.7 of the second; the third is far off.
        let (one, two, three) = ([0.0, 10.0, 4.0], [10.0, 0.0, 6.0], [90.0, -50.0, 70.0]);
        let truth: Vec<f32> = one.iter().zip(&two).map(|(x, y)| 0.3 * x + 0.7 * y).collect();
        let members = vec![&one[..], &two, &three];
        let answers = Answers { members, width: 1, gives: Gives::Scores };
        close(&average(&answers, Truth::Values(&truth)).unwrap(), &[0.3, 0.7, 0.0]);
    }

    #[test]
    fn a_mixture_of_experts_is_weighted_by_how_often_each_is_right() {
        // Sure of the right class in 3 of 4 examples and in 1 of 4: w log w + ... is least at 3/4.
        let one = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let two = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let answers = Answers { members: vec![&one, &two], width: 2, gives: Gives::Probabilities };
        close(&average(&answers, Truth::Classes(&[0, 0, 0, 0])).unwrap(), &[0.75, 0.25]);
        // The same as one number, that of the second class.
        let (one, two) = ([1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]);
        let answers = Answers { members: vec![&one, &two], width: 1, gives: Gives::Probabilities };
        close(&average(&answers, Truth::Classes(&[1, 1, 1, 1])).unwrap(), &[0.75, 0.25]);
    }

    #[test]
    fn slopes_are_those_of_the_loss() {
        let one = [0.3, -1.0, 2.0, 0.1, 0.4, -0.7];
        let two = [-0.3, 1.5, 0.2, 0.9, -0.4, 0.3];
        for (width, classes) in [(3, &[1, 0][..]), (1, &[1, 0, 1, 1, 0, 0])] {
            let answers = Answers { members: vec![&one, &two], width, gives: Gives::Scores };
            let at = |weights: &[f64]| logits(&answers, classes, weights);
            let (_, slopes) = at(&[0.4, 0.6]);
            for (member, slope) in slopes.iter().enumerate() {
                let mut near = [0.4, 0.6];
                near[member] += 1e-6;
                let measured = (at(&near).0 - at(&[0.4, 0.6]).0) / 1e-6;
                assert!((measured - slope).abs() < 1e-5, "{measured} is not {slope}");
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let refused = |values: &[f32], classes: &[usize]| {
            let answers = Answers { members: vec![values], width: 2, gives: Gives::Scores };
            average(&answers, Truth::Classes(classes)).unwrap_err().to_string()
        };
        assert!(refused(&[0.0, f32::NAN], &[0]).contains("NaN"));
        assert!(refused(&[0.0, 1.0], &[2]).contains("class 2"));
        assert!(refused(&[0.0, 1.0], &[0, 1]).contains("2 targets"));
        assert!(refused(&[], &[]).contains("some"));
    }
}
