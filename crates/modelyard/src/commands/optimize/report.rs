//! What is told of a search: numbers for programs.

use std::time::Duration;

use modelyard_optimize::search::{Figures, Goal, Recipe, Trial};
use serde::Serialize;

use super::Paths;
use super::data::Data;
use super::histograms::{Histograms, histograms};
use super::record::Key;
use super::search::{Found, Search};
use super::sensitivity::Sensitivity;
use crate::data::Task;
use crate::metrics::classification::{Classification, Classifier};
use crate::optimizing::answers::{Answered, Score};

/// Classes beyond which no confusion matrix is drawn.
const MOST_CLASSES: usize = 100;

/// What is told.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    /// SHA-256 of the original's file and weights.
    pub(super) model_sha256: String,
    pub(super) output: String,
    pub(super) data: String,
    /// SHA-256 of the examples that answers were compared on, and those that ranges were taken from.
    pub(super) examples_sha256: [String; 2],
    /// How many examples these are.
    pub(super) examples: [usize; 2],
    pub(super) seed: u64,
    pub(super) goal: Goal,
    /// What the budget is a part of.
    pub(super) measure: &'static str,
    pub(super) max_drop: f64,
    pub(super) engine: &'static str,
    pub(super) machine: Machine,
    pub(super) modelyard: &'static str,
    pub(super) seconds: f64,
    /// Whether all that was promising was tried.
    pub(super) is_complete: bool,
    pub(super) original: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) original_score: Option<Score>,
    pub(super) best: Option<Chosen>,
    /// Number of the trial that is nearest to the budget, of those better than the original.
    pub(super) nearest: Option<usize>,
    pub(super) trials: Vec<Line>,
    pub(super) sensitivities: Vec<Sensitivity>,
    pub(super) notes: Vec<String>,
    pub(super) histograms: Vec<Histograms>,
    #[serde(skip)]
    pub(super) confusion: Vec<(String, Classification)>,
}

/// Where it was measured.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) threads: usize,
}

/// The best candidate, as measured the second time.
#[derive(Serialize)]
pub(super) struct Chosen {
    pub(super) recipe: String,
    pub(super) steps: Recipe,
    pub(super) figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<Score>,
}

/// What became of a candidate.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Figures(Figures),
    Error(String),
}

/// One candidate.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) recipe: String,
    pub(super) steps: Recipe,
    /// What was measured; or why it could not be.
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    pub(super) is_within: bool,
    /// Whether no other candidate beats it.
    pub(super) is_on_front: bool,
}

impl Line {
    /// What was measured, if anything could be.
    pub(super) fn figures(&self) -> Option<&Figures> {
        match &self.outcome {
            Outcome::Figures(figures) => Some(figures),
            Outcome::Error(_) => None,
        }
    }
}

impl Report {
    pub(super) fn new(
        (paths, seed, data): (&Paths<'_>, u64, &Data),
        search: &mut Search<'_>,
        (found, key): (&Found, &Key),
        time: Duration,
    ) -> anyhow::Result<Report> {
        let bench = search.bench;
        let best = found.best.as_ref().map(|best| Chosen {
            recipe: found.trials[best.trial].recipe.to_string(),
            steps: found.trials[best.trial].recipe.clone(),
            figures: best.figures,
            score: best.answered.score(),
        });
        let line = |(number, trial): (usize, &Trial)| Line {
            recipe: trial.recipe.to_string(),
            is_within: trial.outcome.as_ref().is_ok_and(|it| it.is_within(search.budget)),
            is_on_front: found.front.contains(&number),
            steps: trial.recipe.clone(),
            outcome: match trial.outcome.clone() {
                Ok(figures) => Outcome::Figures(figures),
                Err(error) => Outcome::Error(error),
            },
        };
        let calibration = search.maker.calibration.map_or(0, |sample| sample.len());
        Ok(Report {
            model: paths.model.display().to_string(),
            model_sha256: key.model.clone(),
            output: paths.output.display().to_string(),
            data: paths.data.display().to_string(),
            examples_sha256: key.data.clone(),
            examples: [bench.sample.len(), calibration],
            seed,
            goal: search.goal,
            measure: measure(&bench.answered),
            max_drop: search.budget.drop,
            engine: bench.original.engine,
            machine: Machine { processor: processor(), threads: key.threads },
            modelyard: env!("CARGO_PKG_VERSION"),
            seconds: time.as_secs_f64(),
            is_complete: found.is_complete,
            original: found.original,
            nearest: found.nearest,
            original_score: bench.answered.score(),
            trials: found.trials.iter().enumerate().map(line).collect(),
            notes: notes(data, search, found, best.as_ref()),
            confusion: confusions(&data.all.task, &bench.answered, found),
            histograms: histograms(search, found)?,
            sensitivities: search.sensitivities.clone(),
            best,
        })
    }
}

/// What a drop is measured in.
fn measure(answered: &Answered) -> &'static str {
    match (answered.classes.is_empty(), answered.truth.is_empty()) {
        (false, _) => "accuracy",
        (true, false) => "relative error",
        (true, true) => "agreement with the original",
    }
}

fn notes(data: &Data, search: &Search<'_>, found: &Found, best: Option<&Chosen>) -> Vec<String> {
    let mut notes = Vec::new();
    if data.is_shared() {
        notes.push(
            "ranges were taken from examples that answers were compared on, which flatters integers: \
             give --calibration"
                .to_owned(),
        );
    }
    if let Some(best) = best
        && best.figures.drop.high > search.budget.drop
    {
        notes.push(format!(
            "{} examples do not tell for sure that the budget is kept: the drop may be up to {:.2} %",
            search.bench.sample.len(),
            100.0 * best.figures.drop.high
        ));
    }
    if let Some(best) = &found.best {
        let first = found.trials[best.trial].outcome.as_ref().ok();
        let times = first.map(|first| (first.latency.estimate, best.figures.latency.estimate));
        if let Some((first, again)) = times.filter(|(first, again)| again > &(1.15 * first)) {
            notes.push(format!(
                "the winner's latency was {first:.2}x when it was found and {again:.2}x when it was \
                 measured again: the machine is not quiet"
            ));
        }
    }
    notes
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn confusions(task: &Task, original: &Answered, found: &Found) -> Vec<(String, Classification)> {
    let Task::Classification { labels } = task else { return Vec::new() };
    let after = found.best.as_ref().map(|best| ("optimized".to_owned(), &best.answered));
    let all = std::iter::once(("original".to_owned(), original)).chain(after);
    all.filter_map(|(name, answered)| {
        let fits = answered.width == labels.len() && answered.width <= MOST_CLASSES;
        let mut classifier = Classifier::new(fits.then_some(answered.width)?, &[]);
        classifier.add(&answered.values, &answered.classes).ok()?;
        Some((name, classifier.finish(labels)))
    })
    .collect()
}
