//! Models on examples: what they answer, how right that is, how long it takes.

use std::time::Instant;

use anyhow::bail;
use modelyard_engine::Loaded;
use modelyard_graph::Model;
use modelyard_optimize::statistics::{self, Difference};
use modelyard_train::data::{Examples, Part};

use crate::commands::local_model;
use crate::data::{DataSet, Task, split};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::optimizing::answers::{Answered, Question};
use crate::optimizing::sample::Sample;
use crate::optimizing::workshop::Workshop;
use crate::source::labels;

/// Examples whose answers show whether they are probabilities.
const GLANCE: usize = 64;

/// Times that are taken of each model.
const ROUNDS: usize = 21;
/// One time covers so many calls that it lasts about this long, in seconds.
const SHORTEST: f64 = 2e-3;
/// Calls that one time covers at most.
const MOST_CALLS: usize = 500;

/// How many examples are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) samples: usize,
    pub(super) batch: usize,
    pub(super) seed: u64,
}

/// The examples to fit on, and others to measure by.
pub(super) struct Parts<'a> {
    data: &'a DataSet,
    fit: Option<Part<'a>>,
    measure: Part<'a>,
}

impl<'a> Parts<'a> {
    /// Cuts the examples that the source sets apart for measuring, or all. `held_out` is the part to
    /// measure by; none where nothing is fitted.
    pub(super) fn new(
        data: &'a DataSet,
        held_out: Option<f64>,
        seed: u64,
    ) -> anyhow::Result<Parts<'a>> {
        if data.task == Task::Unlabelled {
            bail!("the data does not say what is right, so models cannot be compared on it");
        }
        let examples: &'a dyn Examples = data.test.as_deref().unwrap_or(data.train.as_ref());
        let of = |numbers| Part { of: examples, numbers };
        let Some(held_out) = held_out else {
            return Ok(Parts { data, fit: None, measure: of((0..examples.len()).collect()) });
        };
        if examples.len() < 2 {
            bail!("the data holds one example, which is too little to fit on and to measure by");
        }
        let classes = data.classes.as_deref().filter(|_| data.test.is_none());
        let (fit, measure) = split::split(examples.len(), classes, held_out, seed);
        Ok(Parts { data, fit: Some(of(fit)), measure: of(measure) })
    }
}

/// Where models are tried.
pub(super) struct Trial<'a> {
    pub(super) parts: Parts<'a>,
    pub(super) workshop: &'a Workshop,
    pub(super) size: Size,
    /// Name of the output that answers.
    pub(super) output: Option<&'a str>,
    pub(super) progress: &'a Progress,
}

/// A model that was asked.
pub(super) struct Asked {
    pub(super) loaded: Loaded,
    /// On the examples to fit on, where there are any.
    pub(super) fit: Option<Answered>,
    /// On those to measure by.
    pub(super) measured: Answered,
}

impl Trial<'_> {
    /// Whether answers are classes.
    pub(super) fn is_classification(&self) -> bool {
        matches!(self.parts.data.task, Task::Classification { .. })
    }

    /// Whether a model's answers to a few examples look like probabilities: rows of parts of one.
    pub(super) fn looks_like_probabilities(&self, model: &Model) -> anyhow::Result<bool> {
        let loaded = self.workshop.load(model)?;
        let sample = self.sample(&self.parts.measure, model)?.few(GLANCE);
        let answered = self.question(&loaded, model, self.output)?.ask(
            loaded.session.as_ref(),
            &sample,
            || (),
        )?;
        let is_one = |row: &[f32]| {
            row.iter().all(|part| (0.0..=1.0).contains(part))
                && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3
        };
        let mut rows = answered.values.chunks_exact(answered.width.max(1));
        Ok(self.is_classification() && answered.width > 1 && rows.all(is_one))
    }

    /// Asks a model everything.
    pub(super) fn ask(&self, model: &Model, output: Option<&str>) -> anyhow::Result<Asked> {
        let loaded =
            self.progress.spin("loading the model", || self.workshop.load_to_serve(model))?;
        let question = self.question(&loaded, model, output)?;
        let ask = |part: &Part<'_>| {
            let sample = self.sample(part, model)?;
            let mut bar = self.progress.bar("asking the model", sample.batches() as u64);
            question.ask(loaded.session.as_ref(), &sample, || bar.step())
        };
        let fit = self.parts.fit.as_ref().map(ask).transpose()?;
        let measured = ask(&self.parts.measure)?;
        Ok(Asked { loaded, fit, measured })
    }

    fn question(
        &self,
        loaded: &Loaded,
        model: &Model,
        output: Option<&str>,
    ) -> anyhow::Result<Question<'_>> {
        let session = loaded.session.as_ref();
        let labels = labels::of_model(session.signature(), &model.metadata);
        Question::new(session, (&self.parts.data.task, labels), output)
    }

    fn sample<'b>(&self, part: &'b Part<'b>, model: &Model) -> anyhow::Result<Sample<'b>> {
        let Size { samples, batch, seed } = self.size;
        Sample::new(self.parts.data, part, model, (samples, batch, seed))
    }

    /// Median microseconds of one call with one example, of each model. They run in turn, so that what
    /// slows the machine down slows all.
    pub(super) fn latencies(&self, models: &[(&Model, &Loaded)]) -> anyhow::Result<Vec<f64>> {
        let mut calls = Vec::new();
        for (model, loaded) in models {
            let one =
                Sample::new(self.parts.data, &self.parts.measure, model, (1, 1, 0))?.first()?;
            let answers = loaded.session.signature().outputs.len();
            let outputs: Vec<usize> = (0..answers).collect();
            calls.push((loaded.session.as_ref(), one.tensors, outputs));
        }
        let time = |index: usize, count: usize| {
            let (session, tensors, outputs) = &calls[index];
            let start = Instant::now();
            for _ in 0..count {
                local_model::run(*session, tensors, outputs)?;
            }
            anyhow::Ok(start.elapsed().as_secs_f64() / count as f64)
        };
        let mut counts = Vec::new();
        for index in 0..calls.len() {
            // The first calls allocate.
            time(index, 2)?;
            let once = time(index, 1)?.max(1e-9);
            counts.push(((SHORTEST / once).ceil() as usize).clamp(1, MOST_CALLS));
        }
        let mut times = vec![Vec::with_capacity(ROUNDS); calls.len()];
        for _ in 0..ROUNDS {
            for (index, (times, &count)) in times.iter_mut().zip(&counts).enumerate() {
                times.push(time(index, count)? * 1e6);
            }
        }
        Ok(times.iter_mut().map(|times| statistics::median(times)).collect())
    }
}

/// How good answers are: higher is better, by accuracy or by squared error.
pub(super) fn goodness(answered: &Answered) -> anyhow::Result<f64> {
    use crate::optimizing::answers::Score;
    match answered.score() {
        Some(Score::Accuracy(accuracy)) => Ok(accuracy),
        Some(Score::MeanSquaredError(error)) => Ok(-error),
        None => Err(anyhow::anyhow!("the data does not say what is right")).exit_with(Exit::Usage),
    }
}

/// How much better the second answers are, example by example: in the part that is right, or in the mean
/// squared error that is gone.
pub(super) fn gain(first: &Answered, second: &Answered, seed: u64) -> Difference {
    let (before, after) = (first.right(), second.right());
    if !before.is_empty() {
        return statistics::paired_accuracy(&before, &after);
    }
    let errors = |answered: &Answered| -> Vec<f64> {
        let rows = answered.values.chunks(answered.width.max(1));
        let rows = rows.zip(answered.truth.chunks(answered.width.max(1)));
        rows.map(|(row, truth)| {
            let squares = row.iter().zip(truth).map(|(x, y)| f64::from(x - y).powi(2));
            squares.sum::<f64>() / row.len() as f64
        })
        .collect()
    };
    let pairs = errors(first).into_iter().zip(errors(second));
    statistics::mean_difference(&pairs.map(|(one, two)| one - two).collect::<Vec<_>>(), seed)
}
