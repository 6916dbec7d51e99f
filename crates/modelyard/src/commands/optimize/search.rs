//! Tries one candidate after the other.

use std::path::Path;
use std::time::Instant;

use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_optimize::search::{
    Budget, Figures, Goal, Recipe, Situation, Step, Trial, best, front, nearest, next,
};
use modelyard_optimize::statistics::Difference;

use super::candidate::Maker;
use super::measure::{Bench, Measured};
use super::record::{Key, Record};
use super::sensitivity::{self, Sensitivity};
use crate::observe::progress::Progress;
use crate::optimizing::answers::Answered;
use crate::training::interrupt::Interrupt;

/// Examples by which the sensitivity of nodes is measured: it is a matter of more or less.
pub(super) const FEW: usize = 64;

/// A search under way.
pub(super) struct Search<'a> {
    pub(super) goal: Goal,
    pub(super) budget: Budget,
    pub(super) deadline: Instant,
    pub(super) bench: &'a Bench<'a>,
    pub(super) maker: Maker<'a>,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: &'a Progress,
    pub(super) sensitivities: Vec<Sensitivity>,
}

/// What came of a search.
pub(super) struct Found {
    pub(super) original: Figures,
    pub(super) trials: Vec<Trial>,
    /// Numbers of the trials that no other one beats.
    pub(super) front: Vec<usize>,
    /// The one nearest to the budget, where none is within.
    pub(super) nearest: Option<usize>,
    pub(super) best: Option<Best>,
    /// Whether all that was promising was tried.
    pub(super) is_complete: bool,
}

/// The best candidate, measured once more.
pub(super) struct Best {
    /// Number of its trial.
    pub(super) trial: usize,
    pub(super) model: Model,
    pub(super) figures: Figures,
    pub(super) answered: Answered,
}

impl Search<'_> {
    /// Tries candidates until nothing is left to try, time is up or ctrl-C came.
    pub(super) fn run(&mut self, folder: &Path, key: &Key) -> anyhow::Result<Found> {
        let mut record = Record::open(folder, key)?;
        let original = self.original()?;
        let mut situation = self.situation();
        let mut trials: Vec<Trial> = Vec::new();
        let mut is_complete = false;
        while !self.interrupt.came() {
            let Some(recipe) = next(&trials, &situation, (self.goal, self.budget)) else {
                if self.learns(&mut situation, &trials)? {
                    continue;
                }
                is_complete = true;
                break;
            };
            if let Some(known) = record.find(&recipe) {
                trials.push(known.clone());
                continue;
            }
            if Instant::now() >= self.deadline {
                break;
            }
            let outcome = self.tried(&recipe).map(|measured| measured.figures);
            let outcome = outcome.map_err(|error| format!("{error:#}"));
            self.tell(&recipe, &outcome);
            let trial = Trial { recipe, outcome };
            record.add(&trial)?;
            trials.push(trial);
        }
        let best = match self.interrupt.came() {
            true => None,
            false => self.confirmed(&trials, &original)?,
        };
        Ok(Found {
            front: front(&trials, self.goal),
            nearest: nearest(&trials, &original, self.goal),
            original,
            trials,
            best,
            is_complete,
        })
    }

    /// Which nodes are sensitive is only measured once integers have cost too much. Says whether that
    /// brought anything new.
    fn learns(&mut self, situation: &mut Situation, trials: &[Trial]) -> anyhow::Result<bool> {
        let integers = |trial: &&Trial| trial.recipe.static_step().is_some();
        let tried: Vec<&Trial> = trials.iter().filter(integers).collect();
        let within = |trial: &&Trial| {
            trial.outcome.as_ref().is_ok_and(|figures| figures.is_within(self.budget))
        };
        let is_needed =
            tried.iter().any(|trial| trial.outcome.is_ok()) && !tried.iter().any(within);
        if !is_needed || !situation.sensitive.is_empty() || Instant::now() >= self.deadline {
            return Ok(false);
        }
        let few = self.bench.sample.few(FEW);
        let question = &self.bench.question;
        self.sensitivities =
            sensitivity::measure(&mut self.maker, (question, &few), self.deadline)?;
        situation.sensitive = self.sensitivities.iter().map(|found| found.node.clone()).collect();
        Ok(!situation.sensitive.is_empty())
    }

    fn situation(&self) -> Situation {
        let nodes = &self.maker.original.graph.nodes;
        let has = |names: &[&str]| nodes.iter().any(|node| names.contains(&node.op_type.as_str()));
        Situation {
            has_examples: self.maker.calibration.is_some(),
            has_convolutions: has(&["Conv", "ConvTranspose"]),
            has_products: has(&["MatMul", "Gemm"]),
            has_int4: self.bench.original.engine == "onnxruntime",
            can_train: self.maker.school.is_open(),
            sensitive: Vec::new(),
        }
    }

    /// The original beside itself.
    fn original(&self) -> anyhow::Result<Figures> {
        let (_, bytes) = self.written(self.maker.original)?;
        let one = Difference { estimate: 1.0, low: 1.0, high: 1.0, p_value: None };
        let none = Difference { estimate: 0.0, low: 0.0, high: 0.0, p_value: None };
        let again = self.bench.measure(&self.bench.original, bytes)?.figures;
        Ok(Figures { drop: none, latency: one, throughput: one, ..again })
    }

    fn tried(&mut self, recipe: &Recipe) -> anyhow::Result<Measured> {
        let model = self.maker.make(recipe)?;
        self.measured(&model)
    }

    fn measured(&self, model: &Model) -> anyhow::Result<Measured> {
        let (folder, bytes) = self.written(model)?;
        // Only its size was wanted.
        drop(folder);
        let loaded = self.maker.workshop.load_to_serve(model)?;
        self.bench.measure(&loaded, bytes)
    }

    fn written(&self, model: &Model) -> anyhow::Result<(tempfile::TempDir, u64)> {
        let folder = tempfile::TempDir::new()?;
        let written = write(model, &folder.path().join("model.onnx"), &WriteOptions::default())?;
        let beside = written.data.map_or(0, |(_, bytes)| bytes);
        Ok((folder, written.model_bytes + beside))
    }

    /// The best trial, made and measured once more: the best of many measurements is partly luck.
    fn confirmed(&mut self, trials: &[Trial], original: &Figures) -> anyhow::Result<Option<Best>> {
        let mut trials = trials.to_vec();
        while let Some(number) = best(&trials, original, self.goal, self.budget) {
            let model = self.maker.make(&trials[number].recipe)?;
            let Measured { figures, answered } = self.measured(&model)?;
            trials[number].outcome = Ok(figures);
            if best(&trials[number..=number], original, self.goal, self.budget).is_some() {
                return Ok(Some(Best { trial: number, model, figures, answered }));
            }
        }
        Ok(None)
    }

    fn tell(&self, recipe: &Recipe, outcome: &Result<Figures, String>) {
        let line = match outcome {
            Ok(figures) => format!(
                "{recipe}: drop {:.2} %, latency {:.2}x, throughput {:.2}x, {:.3} MB",
                100.0 * figures.drop.estimate,
                figures.latency.estimate,
                figures.throughput.estimate,
                figures.bytes as f64 / 1e6
            ),
            Err(error) => format!("{recipe}: {error}"),
        };
        self.progress.suspend(|| eprintln!("{line}"));
    }

    /// Numbers that steps of a recipe depend on, for the report.
    pub(super) fn passes() -> Recipe {
        Recipe(vec![Step::Passes])
    }
}
