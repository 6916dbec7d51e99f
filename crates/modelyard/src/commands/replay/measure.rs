//! All requests through both, and what differs.
//!
//! With two models each request runs through both right after each other, the first of them in turn:
//! whatever else the machine does hits both alike.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use modelyard_engine::Parallelism;
use modelyard_rollout::{Difference, Drift, LatencyHistogram, compare_tensors};
use modelyard_tape::{NamedTensor, Record};
use modelyard_tensor::Tensor;

use super::side::{Ran, Runner, Side};
use crate::exit::{Exit, ExitWith};

/// Most different reasons and messages that are kept.
const KEPT: usize = 20;
/// Most forms of inputs that are remembered as warm.
const WARM: usize = 4096;

/// What was found.
#[derive(Default)]
pub(super) struct Measured {
    /// Requests that were run.
    pub(super) requests: u64,
    /// Those that were not, by reason.
    pub(super) skipped: BTreeMap<String, u64>,
    /// Of those that were run, how many failed: of the baseline, and against it.
    pub(super) errors: [u64; 2],
    /// What the new errors say.
    pub(super) messages: BTreeMap<String, u64>,
    /// What differs, by output.
    pub(super) outputs: BTreeMap<String, Differences>,
    /// Times of requests that both answered: of the baseline, and against it.
    pub(super) latencies: [LatencyHistogram; 2],
}

/// Differences of one output, added up.
pub(super) struct Differences {
    pub(super) drift: Drift,
    pub(super) max_absolute: f64,
    pub(super) min_cosine: f64,
    /// Whether a row holds several numbers, so that one of them is the largest.
    pub(super) has_classes: bool,
}

/// Runs the records through both sides, so many at once.
pub(super) fn measure(
    (against, baseline): (&Side, Option<&Side>),
    records: impl Iterator<Item = Record> + Send,
    concurrency: usize,
) -> anyhow::Result<Measured> {
    // Alone on the machine a run may have all of it; beside others it keeps to its thread.
    let parallelism = if concurrency == 1 { Parallelism::All } else { Parallelism::One };
    let records = Mutex::new(records.fuse());
    let next = || records.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> anyhow::Result<Measured> {
        let mut bench = Bench {
            sides: (against, baseline),
            against: against.runner(parallelism).exit_with(Exit::Remote)?,
            baseline: baseline.map(|side| side.runner(parallelism)).transpose()?,
            warm: HashSet::new(),
            found: Measured::default(),
        };
        while let Some(record) = next() {
            bench.take(&record).exit_with(Exit::Remote)?;
        }
        Ok(bench.found)
    };
    if concurrency == 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..concurrency).map(|_| scope.spawn(work)).collect();
        let mut all = Measured::default();
        for thread in threads {
            all.merge(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        Ok(all)
    })
}

/// What one thread runs requests with.
struct Bench<'a> {
    sides: (&'a Side, Option<&'a Side>),
    against: Runner<'a>,
    baseline: Option<Runner<'a>>,
    /// Forms of inputs that have run.
    warm: HashSet<String>,
    found: Measured,
}

impl Bench<'_> {
    fn take(&mut self, record: &Record) -> anyhow::Result<()> {
        let inputs = match self.inputs(record) {
            Ok(inputs) => inputs,
            Err(reason) => {
                count(&mut self.found.skipped, reason);
                return Ok(());
            }
        };
        self.warm(record, &inputs)?;
        let (before, after) = self.run(record, &inputs)?;
        let found = &mut self.found;
        found.requests += 1;
        for (errors, ran) in found.errors.iter_mut().zip([&before, &after]) {
            *errors += u64::from(matches!(ran, Ran::Failed(_)));
        }
        match (before, after) {
            (Ran::Answered(expected, old), Ran::Answered(given, new)) => {
                found.latencies[0].record(old);
                found.latencies[1].record(new);
                // Only what the client asked for.
                let wanted = record.answer.as_deref().unwrap_or(&expected);
                for NamedTensor { name, .. } in wanted {
                    found.compare(name, find(&expected, name), find(&given, name));
                }
            }
            (_, Ran::Failed(message)) => count(&mut found.messages, message),
            _ => {}
        }
        Ok(())
    }

    /// The inputs of both sides, each in its own order.
    fn inputs(&self, record: &Record) -> Result<(Vec<Tensor>, Vec<Tensor>), String> {
        let (against, baseline) = self.sides;
        let other = baseline.map(|side| side.inputs(&record.inputs)).transpose()?;
        Ok((other.unwrap_or_default(), against.inputs(&record.inputs)?))
    }

    /// Runs the first request of its form once without a clock: engines set up what such inputs
    /// need.
    fn warm(&mut self, record: &Record, inputs: &(Vec<Tensor>, Vec<Tensor>)) -> anyhow::Result<()> {
        let shapes = record.inputs.iter().map(|input| input.tensor.shape().to_string());
        let form = shapes.collect::<Vec<_>>().join(" ");
        if self.warm.len() >= WARM || !self.warm.insert(form) {
            return Ok(());
        }
        if let Some(baseline) = &mut self.baseline {
            baseline.run(&inputs.0)?;
        }
        self.against.run(&inputs.1).map(drop)
    }

    fn run(
        &mut self,
        record: &Record,
        inputs: &(Vec<Tensor>, Vec<Tensor>),
    ) -> anyhow::Result<(Ran, Ran)> {
        let Some(baseline) = &mut self.baseline else {
            let recorded = match &record.answer {
                Ok(outputs) => Ran::Answered(outputs.clone(), record.latency),
                Err(failure) => Ran::Failed(failure.message.clone()),
            };
            return Ok((recorded, self.against.run(&inputs.1)?));
        };
        if self.found.requests.is_multiple_of(2) {
            let before = baseline.run(&inputs.0)?;
            return Ok((before, self.against.run(&inputs.1)?));
        }
        let after = self.against.run(&inputs.1)?;
        Ok((baseline.run(&inputs.0)?, after))
    }
}

fn find<'a>(outputs: &'a [NamedTensor], name: &str) -> Option<&'a Tensor> {
    outputs.iter().find(|output| output.name == name).map(|output| &output.tensor)
}

/// Counts a text; too many different ones are one.
fn count(texts: &mut BTreeMap<String, u64>, text: String) {
    let text = if texts.len() < KEPT || texts.contains_key(&text) { text } else { "others".into() };
    *texts.entry(text).or_default() += 1;
}

impl Measured {
    /// Compares an output; one that a side does not have is as different as can be.
    fn compare(&mut self, name: &str, expected: Option<&Tensor>, given: Option<&Tensor>) {
        let difference = match (expected, given) {
            (Some(expected), Some(given)) => compare_tensors(expected.view(), given.view()),
            _ => Difference::INCOMPARABLE,
        };
        let is_classes = |tensor: &Tensor| {
            let row = tensor.shape().last().copied().unwrap_or(1);
            row > 1 && tensor.shape().len() > 1 && tensor.to_f64s().is_some()
        };
        let all = self.outputs.entry(name.to_owned()).or_default();
        all.has_classes |= expected.is_some_and(is_classes);
        all.drift.record(&difference);
        all.max_absolute = all.max_absolute.max(difference.max_absolute_error);
        all.min_cosine = all.min_cosine.min(difference.cosine);
    }

    fn merge(&mut self, other: Measured) {
        self.requests += other.requests;
        for (reason, requests) in other.skipped {
            *self.skipped.entry(reason).or_default() += requests;
        }
        for (message, requests) in other.messages {
            *self.messages.entry(message).or_default() += requests;
        }
        for (name, more) in other.outputs {
            let all = self.outputs.entry(name).or_default();
            all.drift.merge(&more.drift);
            all.max_absolute = all.max_absolute.max(more.max_absolute);
            all.min_cosine = all.min_cosine.min(more.min_cosine);
            all.has_classes |= more.has_classes;
        }
        for side in 0..2 {
            self.errors[side] += other.errors[side];
            self.latencies[side].merge(&other.latencies[side]);
        }
    }

    /// A quantile of both sides' times.
    pub(super) fn quantile(&self, quantile: f64) -> Option<[Duration; 2]> {
        let [before, after] = &self.latencies;
        before.quantile(quantile).zip(after.quantile(quantile)).map(|(old, new)| [old, new])
    }
}

impl Default for Differences {
    fn default() -> Self {
        Differences {
            drift: Drift::default(),
            max_absolute: 0.0,
            min_cosine: 1.0,
            has_classes: false,
        }
    }
}
