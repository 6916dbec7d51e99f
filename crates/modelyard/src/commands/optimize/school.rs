//! Candidates with fewer channels: pruned, and taught again by the original.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::{Limits, Model};
use modelyard_optimize::prune::{self, Importance, Options, Target};

use crate::data::{DataSet, Task};
use crate::observe::progress::Progress;
use crate::optimizing::prepare;
use crate::optimizing::recover::{ALPHA, Lessons, Plan, Recovery, TEMPERATURE, prune_and_recover};
use crate::optimizing::workshop::Workshop;
use crate::training::interrupt::Interrupt;
use crate::training::recipe::Recipe;

/// The part of the time that is left which one training may take.
const SHARE: u32 = 3;

/// What pruned models learn from.
pub(super) struct School<'a> {
    pub(super) data: (&'a DataSet, &'a Path),
    pub(super) interrupt: &'a Interrupt,
    pub(super) deadline: Instant,
    /// Where models that were taught are kept: it takes long.
    pub(super) folder: &'a Path,
}

/// How candidates are taught: a learning rate that falls to nothing, a few epochs.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    recipe: Recipe,
}

/// Arguments of `modelyard prune` that stand for this.
const ARGUMENTS: [&str; 5] = ["prune", "--epochs", "10", "--schedule", "cosine"];

impl School<'_> {
    /// Whether there is something to learn: classes, and examples other than those that answers are
    /// compared on.
    pub(super) fn is_open(&self) -> bool {
        let (data, _) = self.data;
        matches!(data.task, Task::Classification { .. }) && data.test.is_some()
    }

    /// The model with so many percent of its channels removed, taught again.
    pub(super) fn graduate(
        &self,
        original: &Model,
        percent: u32,
        (workshop, progress, limits): (&Workshop, &Progress, &Limits),
    ) -> anyhow::Result<Model> {
        let path = self.folder.join(format!("pruned-{percent}.onnx"));
        if path.exists() {
            return prepare::read(&path, limits);
        }
        let recipe =
            Defaults::try_parse_from(ARGUMENTS).context("failed to set up training")?.recipe;
        let now = Instant::now();
        let share = self.deadline.saturating_duration_since(now) / SHARE;
        let lessons = Lessons {
            data: self.data,
            recipe: &recipe,
            recovery: Recovery::Distill { temperature: TEMPERATURE, alpha: ALPHA },
            batches: 0,
            threads: modelyard_engine::threads::budget(),
            workshop,
            progress,
            tells: false,
            interrupt: self.interrupt,
            deadline: Some(now + share),
        };
        let target = Target::Channels(f64::from(percent) / 100.0);
        let options = Options { target, importance: Importance::L2, ..Options::default() };
        let plan = Plan { options, taylor: false, rounds: 1 };
        let model = prune_and_recover(&prune::ready(original)?, &plan, Some(&lessons))?.model;
        write(&model, &path, &WriteOptions::default())?;
        Ok(model)
    }
}
