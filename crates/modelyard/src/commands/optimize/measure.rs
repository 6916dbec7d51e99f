//! A candidate beside the original: how good its answers are, how long it takes, what it weighs.

use modelyard_engine::Loaded;
use modelyard_optimize::search::Figures;
use modelyard_optimize::statistics::{self, Difference};

use crate::optimizing::answers::{Answered, Question};
use crate::optimizing::pace::{self, Batch};
use crate::optimizing::sample::Sample;

/// The original, and on what candidates are compared with it.
pub(super) struct Bench<'a> {
    pub(super) question: Question<'a>,
    pub(super) sample: Sample<'a>,
    pub(super) original: Loaded,
    pub(super) answered: Answered,
    /// The smallest batch, and a large one.
    pub(super) batches: [Batch; 2],
    pub(super) seed: u64,
}

/// What was measured of a candidate, and what it answers.
pub(super) struct Measured {
    pub(super) figures: Figures,
    pub(super) answered: Answered,
}

impl Bench<'_> {
    /// Measures a candidate whose file has so many bytes.
    pub(super) fn measure(&self, candidate: &Loaded, bytes: u64) -> anyhow::Result<Measured> {
        let session = candidate.session.as_ref();
        let answered = self.question.ask(session, &self.sample, || ())?;
        let drop = drop(&self.answered, &answered, self.seed)?;
        let original = self.original.session.as_ref();
        let compare = |batch| pace::compare(original, session, batch, self.seed);
        let [small, large] = &self.batches;
        let [(latency, latency_us), (throughput, large_us)] = [compare(small)?, compare(large)?];
        let figures = Figures {
            drop,
            latency,
            throughput,
            latency_us,
            example_us: large_us / large.examples.max(1) as f64,
            bytes,
            memory_bytes: candidate.bytes,
        };
        Ok(Measured { figures, answered })
    }
}

/// How much worse the answers of a candidate are: see [`Figures::drop`].
pub(super) fn drop(original: &Answered, other: &Answered, seed: u64) -> anyhow::Result<Difference> {
    anyhow::ensure!(
        original.values.len() == other.values.len(),
        "the candidate gives {} numbers, the original {}",
        other.values.len(),
        original.values.len()
    );
    let (before, after) = (original.right(), other.right());
    if !before.is_empty() {
        let gain = statistics::paired_accuracy(&before, &after);
        return Ok(Difference {
            // A difference of nothing has no sign.
            estimate: 0.0 - gain.estimate,
            low: -gain.high,
            high: -gain.low,
            p_value: gain.p_value,
        });
    }
    if !original.truth.is_empty() {
        let error = |answered: &Answered| -> Vec<f64> {
            let pairs = answered.values.iter().zip(&answered.truth);
            pairs.map(|(x, y)| f64::from(x - y).powi(2)).collect()
        };
        let (before, after) = (error(original), error(other));
        let mean = (before.iter().sum::<f64>() / before.len() as f64).max(f64::MIN_POSITIVE);
        let relative: Vec<f64> =
            before.iter().zip(&after).map(|(one, two)| (two - one) / mean).collect();
        return Ok(statistics::mean_difference(&relative, seed));
    }
    Ok(statistics::mean_difference(&disagreement(original, other), seed))
}

/// For each example: whether the highest score is another; for sequences and pictures, how much less than
/// one the cosine between both is; for single numbers, how far they are apart relative to how large they
/// usually are.
fn disagreement(original: &Answered, other: &Answered) -> Vec<f64> {
    if original.is_flattened {
        return original.cosines(other).map(|cosine| 1.0 - cosine).collect();
    }
    if original.width > 1 {
        let differs = |(one, two): (usize, usize)| f64::from(u8::from(one != two));
        return original.top().into_iter().zip(other.top()).map(differs).collect();
    }
    let size = original.values.iter().map(|x| f64::from(x.abs())).sum::<f64>();
    let usual = (size / original.values.len().max(1) as f64).max(f64::MIN_POSITIVE);
    let pairs = original.values.iter().zip(&other.values);
    pairs.map(|(x, y)| f64::from((x - y).abs()) / usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(values: &[f32], width: usize, classes: &[usize], truth: &[f32]) -> Answered {
        let (values, classes, truth) = (values.to_vec(), classes.to_vec(), truth.to_vec());
        Answered { values, width, classes, truth, ..Answered::default() }
    }

    #[test]
    fn a_drop_is_of_accuracy_error_or_agreement() {
        let estimate = |one: &Answered, two: &Answered| drop(one, two, 0).unwrap().estimate;
        let right = answered(&[1.0, 0.0, 0.0, 1.0], 2, &[0, 1], &[]);
        let half = answered(&[0.0, 1.0, 0.0, 1.0], 2, &[0, 1], &[]);
        assert_eq!((estimate(&right, &half), estimate(&half, &right)), (0.5, -0.5));
        let near = answered(&[1.0, 2.0], 1, &[], &[1.5, 2.5]);
        let far = answered(&[0.5, 1.5], 1, &[], &[1.5, 2.5]);
        assert_eq!(estimate(&near, &far), 3.0);
        let unknown = |answered: &Answered| Answered { classes: Vec::new(), ..answered.clone() };
        assert_eq!(estimate(&unknown(&right), &unknown(&half)), 0.5);
        assert!(drop(&right, &near, 0).is_err());
    }
}
