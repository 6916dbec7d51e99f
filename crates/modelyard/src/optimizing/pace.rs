//! How long a model takes beside another one.

use std::time::{Duration, Instant};

use anyhow::Context;
use modelyard_engine::{Parallelism, Session};
use modelyard_optimize::statistics::{self, Difference};
use modelyard_tensor::Tensor;

use super::sample::Sample;
use crate::commands::local_model;

/// Pairs of times that are taken at least and at most.
const PAIRS: (usize, usize) = (15, 60);
/// Time after which no more pairs are taken than the least.
const PATIENCE: Duration = Duration::from_secs(4);
/// One time covers so many calls that it lasts about this long: clocks and interruptions then matter
/// little.
const SHORTEST: Duration = Duration::from_millis(3);
/// Calls that one time covers at most.
const MOST_CALLS: u32 = 2000;

/// Inputs of one call.
pub(crate) struct Batch {
    inputs: Vec<Tensor>,
    /// Examples in it.
    pub(crate) examples: usize,
}

impl Batch {
    /// The first batch of a sample.
    pub(crate) fn first(sample: &Sample<'_>) -> anyhow::Result<Batch> {
        let inputs = sample.first()?;
        Ok(Batch { inputs: inputs.tensors, examples: inputs.rows })
    }
}

/// Times of two models on the same batch, taken in turn: how many times as long the second takes, and
/// its median in microseconds.
pub(crate) fn compare(
    first: &dyn Session,
    second: &dyn Session,
    batch: &Batch,
    seed: u64,
) -> anyhow::Result<(Difference, f64)> {
    // The first calls allocate.
    let mut calls = 1;
    for session in [first, second] {
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
            let earlier = time(first, batch, calls)?;
            (earlier, time(second, batch, calls)?)
        } else {
            let earlier = time(second, batch, calls)?;
            (time(first, batch, calls)?, earlier)
        };
        pairs.push(pair);
    }
    let mut own: Vec<f64> = pairs.iter().map(|(_, time)| time * 1e6 / f64::from(calls)).collect();
    Ok((statistics::ratio(&pairs, seed), statistics::median(&mut own)))
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
