//! Tries one candidate after the other.

use std::path::Path;
use std::time::Instant;

use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_optimize::improve::can_equalize;
use modelyard_optimize::search::{
    Budget, Figures, Goal, Move, Recipe, Situation, Step, Trial, best, front, nearest, next,
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
        let mut situation = self.situation()?;
        let mut trials: Vec<Trial> = Vec::new();
        let mut is_complete = false;
        while !self.interrupt.came() {
            let is_late = Instant::now() >= self.deadline;
            match next(&trials, &situation, (self.goal, self.budget)) {
                None => {
                    is_complete = true;
                    break;
                }
                Some(Move::Try(recipe)) if record.find(&recipe).is_some() => {
                    trials.extend(record.find(&recipe).cloned());
                }
                Some(_) if is_late => break,
                Some(Move::Rank) => situation.sensitive = Some(self.ranked()?),
                Some(Move::Try(recipe)) => self.tries(recipe, &mut trials, &mut record)?,
            }
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

    /// Makes and measures a candidate. What ctrl-C or time cut short is not kept for another run.
    fn tries(
        &mut self,
        recipe: Recipe,
        trials: &mut Vec<Trial>,
        record: &mut Record,
    ) -> anyhow::Result<()> {
        let outcome = self.tried(&recipe).map(|measured| measured.figures);
        let outcome = outcome.map_err(|error| format!("{error:#}"));
        if self.interrupt.came() {
            return Ok(());
        }
        self.tell(&recipe, &outcome);
        let trial = Trial { recipe, outcome };
        if !self.maker.kept.is_cut(&trial.recipe) {
            record.add(&trial)?;
        }
        trials.push(trial);
        Ok(())
    }

    /// Names of nodes, those first that lose most by integers.
    fn ranked(&mut self) -> anyhow::Result<Vec<String>> {
        let few = self.bench.sample.few(FEW);
        let question = &self.bench.question;
        self.sensitivities =
            sensitivity::measure(&mut self.maker, (question, &few), self.deadline)?;
        Ok(self.sensitivities.iter().map(|found| found.node.clone()).collect())
    }

    fn situation(&mut self) -> anyhow::Result<Situation> {
        let has_pairs = can_equalize(&self.maker.make(&Search::passes())?);
        let nodes = &self.maker.original.graph.nodes;
        let has = |names: &[&str]| nodes.iter().any(|node| names.contains(&node.op_type.as_str()));
        Ok(Situation {
            has_pairs,
            has_examples: self.maker.calibration.is_some(),
            has_convolutions: has(&["Conv", "ConvTranspose"]),
            has_products: has(&["MatMul", "Gemm"]),
            has_int4: self.bench.original.engine == "onnxruntime",
            can_train: self.maker.school.is_open(),
            sensitive: None,
        })
    }

    /// The original beside itself, loaded twice: how far its times are from one is noise.
    fn original(&self) -> anyhow::Result<Figures> {
        let none = Difference { estimate: 0.0, low: 0.0, high: 0.0, p_value: None };
        Ok(Figures { drop: none, ..self.measured(self.maker.original)?.figures })
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
