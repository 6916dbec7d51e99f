//! What is written into the model's metadata, and told at the end.

use std::fmt::Write as _;
use std::path::Path;

use modelyard_graph::Model;
use modelyard_train::Array;
use modelyard_train::trainer::{Ended, EpochReport, Options, Score, Trainer};
use serde::Serialize;

use super::watch::score_text;
use crate::data::{DataSet, InputKind, Task};
use crate::metrics::curves::{self, Panel};

/// What came of a run.
#[derive(Serialize)]
pub(crate) struct Outcome {
    /// Numbers that were trained.
    pub(crate) trained_parameters: usize,
    /// How the run ended.
    pub(crate) ended: &'static str,
    /// Whether its time was up before it was done.
    #[serde(skip)]
    pub(crate) is_cut: bool,
    /// Epochs done.
    pub(crate) epochs: usize,
    /// Of the training itself, the median over the epochs.
    pub(crate) examples_per_second: f64,
    /// Of all of it.
    pub(crate) seconds: f64,
    /// Most memory that values of a step took at once.
    pub(crate) peak_bytes: usize,
    /// The last epoch.
    pub(crate) training: Option<Score>,
    /// The weights that were written, on what was set apart.
    pub(crate) validation: Option<Score>,
    /// The same on the test part of the data.
    pub(crate) test: Option<Score>,
    /// Entries of the data that were left out.
    pub(crate) skipped: usize,
}

/// What is told at the end.
#[derive(Serialize)]
pub(super) struct Report {
    /// The model that was written.
    pub(super) model: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let outcome = &self.outcome;
        let mut text = format!(
            "wrote '{}': {} trained parameters, {} {} in {:.1} s ({}), {:.0} examples/s\n\
             memory     at most {:.1} MB for the values of a step",
            self.model,
            outcome.trained_parameters,
            outcome.epochs,
            if outcome.epochs == 1 { "epoch" } else { "epochs" },
            outcome.seconds,
            outcome.ended,
            outcome.examples_per_second,
            outcome.peak_bytes as f64 / 1e6
        );
        let scores = [
            ("training", &outcome.training),
            ("validation", &outcome.validation),
            ("test", &outcome.test),
        ];
        for (name, score) in scores {
            if let Some(score) = score {
                let _ = write!(text, "\n{name:<11}{}", score_text(score));
            }
        }
        if outcome.skipped > 0 {
            let entries = if outcome.skipped == 1 { "entry" } else { "entries" };
            let _ = write!(text, "\nleft out {} {entries} that cannot be used", outcome.skipped);
        }
        text
    }
}

/// How a run ended, in words.
pub(super) fn ending(ended: Ended) -> &'static str {
    match ended {
        Ended::Finished => "finished",
        Ended::Early => "stopped early, best weights kept",
        Ended::Stopped => "its time was up",
    }
}

/// The training record, as JSON in the metadata under `training`.
#[derive(Serialize)]
struct Record<'a> {
    tool: String,
    command: &'a str,
    data: String,
    training_examples: usize,
    validation_examples: usize,
    options: &'a Options,
    epochs: usize,
    last_epoch: Option<&'a EpochReport>,
    test: Option<Score>,
}

/// Where a model comes from.
pub(super) struct Origin<'a> {
    pub(super) command: &'a str,
    pub(super) data: &'a Path,
    pub(super) training_examples: usize,
    pub(super) validation_examples: usize,
}

/// Writes labels, preprocessing and the training record into the metadata.
pub(super) fn write(
    model: &mut Model,
    data: &DataSet,
    (origin, trainer, test): (&Origin<'_>, &Trainer, Option<Score>),
) -> anyhow::Result<()> {
    if let Task::Classification { labels } = &data.task {
        model.metadata.insert("labels".into(), serde_json::to_string(labels)?);
    }
    let mut preprocessing: Vec<_> = data.inputs.iter().map(Preprocessing::of).collect();
    if let [only] = preprocessing.as_mut_slice() {
        only.taken_out = TakenOut::by(model);
    }
    model.metadata.insert("preprocessing".into(), serde_json::to_string(&preprocessing)?);
    let progress = trainer.progress();
    let record = Record {
        tool: format!("modelyard {}", env!("CARGO_PKG_VERSION")),
        command: origin.command,
        data: origin.data.display().to_string(),
        training_examples: origin.training_examples,
        validation_examples: origin.validation_examples,
        options: trainer.options(),
        epochs: progress.epoch,
        last_epoch: progress.history.last(),
        test,
    };
    model.metadata.insert("training".into(), serde_json::to_string(&record)?);
    Ok(())
}

/// What must have been done to an input before the model is given it, and what the model then does
/// to it first.
#[derive(Serialize)]
struct Preprocessing<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_out: Option<TakenOut>,
}

/// Mean and deviation that the model itself takes out of its input: nobody else must.
#[derive(Serialize)]
struct TakenOut {
    by: &'static str,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl TakenOut {
    fn by(model: &Model) -> Option<TakenOut> {
        let floats = |name: &str| {
            let array = Array::from_constant(model.graph.initializer(name)?)?;
            array.into_floats().ok()
        };
        let mean = floats("normalization.mean")?;
        Some(TakenOut { by: "the model", mean, deviation: floats("normalization.deviation")? })
    }
}

impl<'a> Preprocessing<'a> {
    fn of(input: &'a crate::data::Input) -> Preprocessing<'a> {
        let (pixels, columns) = match &input.kind {
            InputKind::Image => (Some("0 (dark) to 1 (bright)"), None),
            InputKind::Table(columns) => (None, Some(columns.as_slice())),
            InputKind::Tensor => (None, None),
        };
        Preprocessing { input: &input.name, pixels, columns, taken_out: None }
    }
}

/// The curves of a run as SVG.
pub(super) fn curves(title: &str, history: &[EpochReport]) -> String {
    let series = |of: &dyn Fn(&EpochReport) -> Option<f64>| {
        let points = history.iter().filter_map(|epoch| Some((epoch.epoch as f64, of(epoch)?)));
        points.collect::<Vec<_>>()
    };
    let mut panels = vec![Panel {
        name: "loss".into(),
        training: series(&|epoch| Some(epoch.training.loss)),
        validation: series(&|epoch| Some(epoch.validation?.loss)),
    }];
    let accuracy = Panel {
        name: "accuracy".into(),
        training: series(&|epoch| epoch.training.accuracy),
        validation: series(&|epoch| epoch.validation?.accuracy),
    };
    if !accuracy.training.is_empty() {
        panels.push(accuracy);
    }
    curves::draw(title, &panels)
}
