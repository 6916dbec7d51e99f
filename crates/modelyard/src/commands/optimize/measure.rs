//! A candidate beside the original: how good its answers are, how long it takes, what it weighs.

use std::time::{Duration, Instant};

use anyhow::Context;
use modelyard_engine::{Loaded, Parallelism, Session};
use modelyard_optimize::search::Figures;
use modelyard_optimize::statistics::{self, Difference};
use modelyard_tensor::Tensor;

use crate::commands::local_model;
use crate::optimizing::answers::{Answered, Question};
use crate::optimizing::sample::Sample;

/// Pairs of times that are taken at least and at most.
const PAIRS: (usize, usize) = (15, 60);
/// Time after which no more pairs are taken than the least.
const PATIENCE: Duration = Duration::from_secs(4);
/// One time covers so many calls that it lasts about this long: clocks and interruptions then matter
/// little.
const SHORTEST: Duration = Duration::from_millis(3);
/// Calls that one time covers at most.
const MOST_CALLS: u32 = 2000;

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

/// Inputs of one call.
pub(super) struct Batch {
    inputs: Vec<Tensor>,
    examples: usize,
}

impl Batch {
    /// The first batch of a sample.
    pub(super) fn first(sample: &Sample<'_>) -> anyhow::Result<Batch> {
        let inputs = sample.first()?;
        Ok(Batch { inputs: inputs.tensors, examples: inputs.rows })
    }
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
        let [(latency, latency_us), (throughput, large_us)] =
            [self.compare(session, &self.batches[0])?, self.compare(session, &self.batches[1])?];
        let figures = Figures {
            drop,
            latency,
            throughput,
            latency_us,
            example_us: large_us / self.batches[1].examples.max(1) as f64,
            bytes,
            memory_bytes: candidate.bytes,
        };
        Ok(Measured { figures, answered })
    }

    /// Times of the original and of a candidate, in turn: the ratio, and the candidate's median in
    /// microseconds.
    fn compare(&self, candidate: &dyn Session, batch: &Batch) -> anyhow::Result<(Difference, f64)> {
        let original = self.original.session.as_ref();
        // The first calls allocate.
        let mut calls = 1;
        for session in [original, candidate] {
            time(session, batch, 2)?;
            let once = time(session, batch, 1)?.max(1e-9);
            let wanted = (SHORTEST.as_secs_f64() / once).ceil();
            calls = calls.max((wanted as u32).clamp(1, MOST_CALLS));
        }
        let start = Instant::now();
        let mut pairs = Vec::with_capacity(PAIRS.1);
        while pairs.len() < PAIRS.1 && (pairs.len() < PAIRS.0 || start.elapsed() < PATIENCE) {
            // Each goes first in turn: what the first leaves in caches helps or hurts both alike.
            let pair = if pairs.len() % 2 == 0 {
                let first = time(original, batch, calls)?;
                (first, time(candidate, batch, calls)?)
            } else {
                let second = time(candidate, batch, calls)?;
                (time(original, batch, calls)?, second)
            };
            pairs.push(pair);
        }
        let mut own: Vec<f64> =
            pairs.iter().map(|(_, time)| time * 1e6 / f64::from(calls)).collect();
        Ok((statistics::ratio(&pairs, self.seed), statistics::median(&mut own)))
    }
}

/// Seconds of so many calls.
fn time(session: &dyn Session, batch: &Batch, calls: u32) -> anyhow::Result<f64> {
    let outputs: Vec<usize> = (0..session.signature().outputs.len()).collect();
    local_model::with_views(&batch.inputs, |views| {
        let start = Instant::now();
        for _ in 0..calls {
            session.run(views, &outputs, Parallelism::All).context("failed to run the model")?;
        }
        Ok(start.elapsed().as_secs_f64())
    })
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
