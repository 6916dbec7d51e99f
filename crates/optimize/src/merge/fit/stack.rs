//! A linear model over the answers of all members (Wolpert, "Stacked Generalization", 1992): logistic
//! regression for classes, ridge regression for values.

use super::average::entropy;
use super::linear::solve;
use super::{Answers, Truth};
use crate::OptimizeError;

/// Answers side by side at most: ridge regression needs as many numbers squared.
const MOST_INPUTS: usize = 4096;

/// Steps of logistic regression at most.
const MOST_STEPS: usize = 2000;
/// A gradient whose largest number is below this is none.
const LEAST_SLOPE: f64 = 1e-6;

/// `[y₁ … yₙ] W + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// `W`, row by row: an input each.
    pub weights: Vec<f64>,
    /// `b`.
    pub bias: Vec<f64>,
    /// Numbers that all members give together.
    pub inputs: usize,
    /// Numbers that come out.
    pub outputs: usize,
    /// What comes out are logits.
    pub logistic: bool,
}

/// Fits a model over all answers. `l2` keeps its weights small, counted in standard deviations of each
/// answer: the loss has `l2 / 2 · |W|²` more.
pub fn stack(answers: &Answers<'_>, truth: Truth<'_>, l2: f64) -> Result<Stack, OptimizeError> {
    answers.check(truth)?;
    if !(l2.is_finite() && l2 > 0.0) {
        return Err(OptimizeError::Invalid(format!("expected an L2 above zero, found {l2}")));
    }
    let inputs = answers.width * answers.members.len();
    if inputs > MOST_INPUTS {
        return Err(OptimizeError::Invalid(format!(
            "cannot stack: the models give {inputs} numbers together, more than {MOST_INPUTS}; average \
             them"
        )));
    }
    let table = Table::of(answers, inputs);
    match truth {
        Truth::Values(values) => table.ridge(values, answers.width, l2),
        Truth::Classes(classes) if answers.width == 1 => {
            Ok(table.logistic(classes, 2, l2).of_two())
        }
        Truth::Classes(classes) => Ok(table.logistic(classes, answers.width, l2)),
    }
}

/// Answers in standard deviations from their mean, a row an example, the last number of each a one.
struct Table {
    rows: Vec<f64>,
    inputs: usize,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Table {
    fn of(answers: &Answers<'_>, inputs: usize) -> Table {
        let (width, count) = (answers.width, answers.len());
        let mut rows = Vec::with_capacity(count * (inputs + 1));
        for example in 0..count {
            for values in &answers.members {
                rows.extend(values[example * width..][..width].iter().map(|&x| f64::from(x)));
            }
            rows.push(1.0);
        }
        let mut table = Table { rows, inputs, mean: Vec::new(), deviation: Vec::new() };
        for column in 0..inputs {
            let each = || table.rows.chunks_exact(inputs + 1).map(|row| row[column]);
            let mean = each().sum::<f64>() / count as f64;
            let square = each().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
            table.mean.push(mean);
            // What never changes says nothing.
            table.deviation.push(if square > 1e-24 { square.sqrt() } else { f64::INFINITY });
        }
        for row in table.rows.chunks_exact_mut(inputs + 1) {
            for (x, (mean, deviation)) in
                row.iter_mut().zip(table.mean.iter().zip(&table.deviation))
            {
                *x = (*x - mean) / deviation;
            }
        }
        table
    }

    fn count(&self) -> usize {
        self.rows.len() / (self.inputs + 1)
    }

    /// Weights and biases for answers as they are, of those (a row an input, biases last) for rows.
    fn stack(&self, found: &[f64], outputs: usize, logistic: bool) -> Stack {
        let (weights, bias) = found.split_at(self.inputs * outputs);
        let (mut weights, mut bias) = (weights.to_vec(), bias.to_vec());
        for (row, (mean, deviation)) in
            weights.chunks_exact_mut(outputs).zip(self.mean.iter().zip(&self.deviation))
        {
            for (weight, bias) in row.iter_mut().zip(&mut bias) {
                *weight /= deviation;
                *bias -= *weight * mean;
            }
        }
        Stack { weights, bias, inputs: self.inputs, outputs, logistic }
    }

    /// `(XᵀX / n + l2) W = Xᵀ Y / n`, the biases free.
    fn ridge(&self, truth: &[f32], outputs: usize, l2: f64) -> Result<Stack, OptimizeError> {
        let (size, count) = (self.inputs + 1, self.count() as f64);
        let mut gram = vec![0.0; size * size];
        let mut right = vec![0.0; size * outputs];
        for (row, wanted) in self.rows.chunks_exact(size).zip(truth.chunks_exact(outputs)) {
            for (i, x) in row.iter().enumerate() {
                for (sum, y) in gram[i * size..][..=i].iter_mut().zip(row) {
                    *sum += x * y / count;
                }
                for (sum, y) in right[i * outputs..][..outputs].iter_mut().zip(wanted) {
                    *sum += x * f64::from(*y) / count;
                }
            }
        }
        for i in 0..self.inputs {
            gram[i * size + i] += l2;
        }
        let solved = solve(&mut gram, &mut right, (size, outputs));
        solved.map(|()| self.stack(&right, outputs, false)).ok_or_else(|| {
            OptimizeError::Invalid("cannot stack: the answers are too large to be squared".into())
        })
    }

    /// Softmax regression by accelerated gradient descent (Nesterov, 1983), begun anew where it goes
    /// uphill (O'Donoghue and Candès, "Adaptive Restart for Accelerated Gradient Schemes", 2015).
    fn logistic(&self, classes: &[usize], outputs: usize, l2: f64) -> Stack {
        let step = 1.0 / self.steepness(l2);
        let mut found = vec![0.0; (self.inputs + 1) * outputs];
        let (mut ahead, mut pace) = (found.clone(), 1.0f64);
        for _ in 0..MOST_STEPS {
            let slopes = self.slopes(&ahead, classes, outputs, l2);
            if slopes.iter().all(|slope| slope.abs() < LEAST_SLOPE) {
                found = ahead;
                break;
            }
            let next: Vec<f64> = ahead.iter().zip(&slopes).map(|(x, g)| x - step * g).collect();
            let moved: Vec<f64> = next.iter().zip(&found).map(|(new, old)| new - old).collect();
            let uphill: f64 = slopes.iter().zip(&moved).map(|(g, d)| g * d).sum();
            let faster = (1.0 + (1.0 + 4.0 * pace * pace).sqrt()) / 2.0;
            let momentum = if uphill > 0.0 { 0.0 } else { (pace - 1.0) / faster };
            pace = if uphill > 0.0 { 1.0 } else { faster };
            ahead = next.iter().zip(&moved).map(|(x, d)| x + momentum * d).collect();
            found = next;
        }
        self.stack(&found, outputs, true)
    }

    fn slopes(&self, found: &[f64], classes: &[usize], outputs: usize, l2: f64) -> Vec<f64> {
        let size = self.inputs + 1;
        let count = self.count() as f64;
        let mut slopes = vec![0.0; found.len()];
        let mut scores = vec![0.0; outputs];
        for (row, &class) in self.rows.chunks_exact(size).zip(classes) {
            scores.fill(0.0);
            for (x, weights) in row.iter().zip(found.chunks_exact(outputs)) {
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += x * weight);
            }
            entropy(&mut scores, class);
            for (x, slopes) in row.iter().zip(slopes.chunks_exact_mut(outputs)) {
                slopes
                    .iter_mut()
                    .zip(&scores)
                    .for_each(|(slope, score)| *slope += x * score / count);
            }
        }
        let weights = slopes[..self.inputs * outputs].iter_mut().zip(found);
        weights.for_each(|(slope, weight)| *slope += l2 * weight);
        slopes
    }

    /// What the slopes change by at most: half of the largest eigenvalue of `XᵀX / n` (Böhning,
    /// "Multinomial Logistic Regression Algorithm", 1992), found by powers, with some reserve.
    fn steepness(&self, l2: f64) -> f64 {
        let size = self.inputs + 1;
        let mut vector = vec![1.0; size];
        let mut length = 1.0;
        for _ in 0..30 {
            let mut next = vec![0.0; size];
            for row in self.rows.chunks_exact(size) {
                let dot: f64 = row.iter().zip(&vector).map(|(x, v)| x * v).sum();
                next.iter_mut().zip(row).for_each(|(sum, x)| *sum += dot * x);
            }
            length = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            vector = next.iter().map(|x| x / length).collect();
        }
        0.6 * length / self.count() as f64 + l2
    }
}

impl Stack {
    /// Two logits as one: that of the second class against the first.
    fn of_two(self) -> Stack {
        let difference =
            |pairs: &[f64]| pairs.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
        Stack {
            weights: difference(&self.weights),
            bias: difference(&self.bias),
            outputs: 1,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Gives;
    use crate::quantize::tests::numbers;

    #[test]
    fn a_linear_truth_is_found() {
        let (one, two) = (numbers(200, 1), numbers(200, 2));
        let pairs = one.chunks_exact(2).zip(two.chunks_exact(2));
        let truth: Vec<f32> =
            pairs.flat_map(|(x, y)| [2.0 * x[0] - y[1] + 3.0, 0.5 * y[0] + x[1]]).collect();
        let answers = Answers { members: vec![&one, &two], width: 2, gives: Gives::Scores };
        let found = stack(&answers, Truth::Values(&truth), 1e-9).unwrap();
        let expected = [2.0, 0.0, 0.0, 1.0, 0.0, 0.5, -1.0, 0.0];
        for (found, expected) in found.weights.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
        assert!((found.bias[0] - 3.0).abs() < 1e-4 && found.bias[1].abs() < 1e-4);
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (one, two) in found.iter().zip(expected) {
            assert!((one - two).abs() < 1e-4, "{found:?} is not {expected:?}");
        }
    }

    /// By scikit-learn 1.9.1, on `z`, each column of the same answers in standard deviations:
    /// `LogisticRegression(C=1/(30*0.1), tol=1e-12).fit(z, y)`, its weights divided by the deviations.
    #[test]
    fn classes_as_scikit_learn_fits_them() {
        let (one, two) = (numbers(90, 3), numbers(90, 4));
        let classes: Vec<usize> = (0..30).map(|number| number * 7 % 3).collect();
        let answers = Answers { members: vec![&one, &two], width: 3, gives: Gives::Scores };
        let found = stack(&answers, Truth::Classes(&classes), 0.1).unwrap();
        let expected = [
            [-0.14454, -0.095446, 0.239985],
            [-0.250129, -0.24582, 0.495949],
            [0.57083, -0.281487, -0.289343],
            [0.060434, -0.115564, 0.05513],
            [0.215675, -0.038471, -0.177204],
            [-0.219663, 0.26381, -0.044147],
        ];
        close(&found.weights, expected.as_flattened());
        // Biases are free to move together.
        let mean = found.bias.iter().sum::<f64>() / 3.0;
        let bias: Vec<f64> = found.bias.iter().map(|bias| bias - mean).collect();
        close(&bias, &[0.032963, -0.008236, -0.024727]);
        assert!(found.logistic);
    }

    /// The same by `Ridge(alpha=0.1*30).fit(z, t)`.
    #[test]
    fn values_as_scikit_learn_fits_them() {
        let (one, two, truth) = (numbers(60, 3), numbers(60, 4), numbers(60, 5));
        let answers = Answers { members: vec![&one, &two], width: 2, gives: Gives::Scores };
        let found = stack(&answers, Truth::Values(&truth), 0.1).unwrap();
        let expected = [
            [-0.230306, 0.165336],
            [0.202276, -0.143702],
            [-0.009611, -0.203611],
            [0.094545, -0.357682],
        ];
        close(&found.weights, expected.as_flattened());
        close(&found.bias, &[0.064512, -0.155496]);
    }

    #[test]
    fn one_number_for_two_classes() {
        // The second class wherever the first member's number is above a half.
        let one: Vec<f32> = (0..40).map(|number| number as f32 / 39.0).collect();
        let two = vec![0.5; 40];
        let classes: Vec<usize> = one.iter().map(|&x| usize::from(x > 0.5)).collect();
        let answers = Answers { members: vec![&one, &two], width: 1, gives: Gives::Probabilities };
        let found = stack(&answers, Truth::Classes(&classes), 1e-4).unwrap();
        assert_eq!((found.inputs, found.outputs), (2, 1));
        let border = -found.bias[0] / found.weights[0];
        assert!((border - 0.5).abs() < 0.02 && found.weights[0] > 0.0, "{found:?}");
        assert_eq!(found.weights[1], 0.0);
        assert!(stack(&answers, Truth::Classes(&classes), 0.0).is_err());
    }
}
