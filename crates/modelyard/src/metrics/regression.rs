//! Measures of answers that are numbers.

use serde::Serialize;

use super::MetricError;

/// Sums up answers as they come.
pub(crate) struct Regressor {
    outputs: Vec<Sums>,
    examples: usize,
}

/// One output so far.
#[derive(Clone, Copy, Default)]
struct Sums {
    squared: f64,
    absolute: f64,
    /// Mean of the truth, and the sum of squared differences from it, kept as Welford does (Note
    /// on a Method for Calculating Corrected Sums of Squares and Products, 1962).
    mean: f64,
    spread: f64,
}

/// How good answers are, over all outputs and for each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Regression {
    /// Examples measured.
    pub(crate) examples: usize,
    /// Mean over outputs.
    #[serde(flatten)]
    pub(crate) overall: Errors,
    /// Each output.
    pub(crate) outputs: Vec<Errors>,
}

/// How far answers are from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Errors {
    /// Mean squared error.
    pub(crate) mse: f64,
    /// Mean absolute error.
    pub(crate) mae: f64,
    /// Root of the mean squared error.
    pub(crate) rmse: f64,
    /// Share of the variance of the truth that the answers explain; `None` where the truth does
    /// not vary.
    pub(crate) r2: Option<f64>,
}

impl Regressor {
    /// Sums for answers of so many numbers.
    pub(crate) fn new(width: usize) -> Regressor {
        Regressor { outputs: vec![Sums::default(); width], examples: 0 }
    }

    /// Takes some answers and what they should be, both row by row.
    pub(crate) fn add(&mut self, answers: &[f32], truth: &[f32]) -> Result<(), MetricError> {
        let width = self.outputs.len();
        if answers.len() != truth.len() || !answers.len().is_multiple_of(width.max(1)) {
            return Err(MetricError::Length { expected: width, found: answers.len() });
        }
        for (answer, truth) in answers.chunks_exact(width.max(1)).zip(truth.chunks_exact(width)) {
            if answer.iter().any(|value| value.is_nan()) {
                return Err(MetricError::NotANumber(self.examples));
            }
            self.examples += 1;
            for ((sums, &answer), &truth) in self.outputs.iter_mut().zip(answer).zip(truth) {
                sums.add(f64::from(answer), f64::from(truth), self.examples as f64);
            }
        }
        Ok(())
    }

    /// The measures.
    pub(crate) fn finish(self) -> Regression {
        let count = self.examples.max(1) as f64;
        let outputs: Vec<Errors> = self.outputs.iter().map(|sums| sums.errors(count)).collect();
        let mean = |measure: fn(&Errors) -> Option<f64>| {
            let known: Vec<f64> = outputs.iter().filter_map(measure).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let mse = mean(|errors| Some(errors.mse)).unwrap_or(0.0);
        let overall = Errors {
            mse,
            mae: mean(|errors| Some(errors.mae)).unwrap_or(0.0),
            rmse: mse.sqrt(),
            r2: mean(|errors| errors.r2),
        };
        Regression { examples: self.examples, overall, outputs }
    }
}

impl Sums {
    fn add(&mut self, answer: f64, truth: f64, count: f64) {
        let error = answer - truth;
        self.squared += error * error;
        self.absolute += error.abs();
        let apart = truth - self.mean;
        self.mean += apart / count;
        self.spread += apart * (truth - self.mean);
    }

    fn errors(&self, count: f64) -> Errors {
        let mse = self.squared / count;
        Errors {
            mse,
            mae: self.absolute / count,
            rmse: mse.sqrt(),
            r2: (self.spread > 0.0).then(|| 1.0 - self.squared / self.spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn measures_are_those_of_scikit_learn() {
        let truth = [1., 10., 2., 20., 4., 15., 0.5, 30.];
        let answers = [1.5, 12., 1., 19., 4.25, 18., 0., 25.];
        let mut regressor = Regressor::new(2);
        regressor.add(&answers[..2], &truth[..2]).unwrap();
        regressor.add(&answers[2..], &truth[2..]).unwrap();
        let found = regressor.finish();
        // mean_squared_error and so on of scikit-learn 1.9.1, with multioutput="raw_values".
        let expected = [(0.390625, 0.5625, 0.782_608_7), (9.75, 2.75, 0.821_714_29)];
        for (errors, (mse, mae, r2)) in found.outputs.iter().zip(expected) {
            near(errors.mse, mse);
            near(errors.mae, mae);
            near(errors.r2.unwrap(), r2);
            near(errors.rmse, mse.sqrt());
        }
        near(found.overall.mse, 5.070_312_5);
        near(found.overall.mae, 1.656_25);
        near(found.overall.r2.unwrap(), 0.802_161_490_683_229_8);
        assert_eq!(found.examples, 4);
    }

    #[test]
    fn without_variance_there_is_nothing_to_explain() {
        let mut regressor = Regressor::new(1);
        regressor.add(&[1.0, 3.0], &[2.0, 2.0]).unwrap();
        let found = regressor.finish();
        assert_eq!((found.overall.mse, found.overall.r2), (1.0, None));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let mut regressor = Regressor::new(2);
        assert!(regressor.add(&[1.0], &[1.0]).is_err());
        assert_eq!(regressor.add(&[1.0, f32::NAN], &[1.0, 1.0]), Err(MetricError::NotANumber(0)));
    }
}
