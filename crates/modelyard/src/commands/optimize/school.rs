//! Where candidates learn from the original: with fewer channels, or with rounded weights.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use modelyard_graph::Model;
use modelyard_optimize::calibrate::Range;
use modelyard_optimize::prune::{self, Importance, Options, Target};
use modelyard_optimize::quantize;

use super::kept::Made;
use crate::data::{DataSet, Task};
use crate::observe::progress::Progress;
use crate::optimizing::recover::{
    ALPHA, Lessons, Plan, Recovery, TEMPERATURE, prune_and_recover, train_integers,
};
use crate::optimizing::workshop::Workshop;
use crate::training::interrupt::Interrupt;
use crate::training::recipe::Recipe;

/// The part of the time that is left which one training may take.
const SHARE: u32 = 3;

/// What candidates learn from.
pub(super) struct School<'a> {
    pub(super) data: (&'a DataSet, &'a Path),
    pub(super) interrupt: &'a Interrupt,
    pub(super) deadline: Instant,
    pub(super) seed: u64,
    pub(super) workshop: &'a Workshop,
    pub(super) progress: &'a Progress,
}

/// How candidates are taught: a few epochs at a learning rate that falls to nothing. Nothing is chosen
/// by validation, so all examples are for learning.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    recipe: Recipe,
}

/// Flags of `modelyard prune` that stand for how pruned models are taught.
const PRUNED: &str = "prune --epochs 10 --schedule cosine --validation 0";

/// The same for `modelyard quantize --qat`.
const ROUNDED: &str = "quantize --epochs 3 --schedule cosine --learning-rate 0.0001 --validation 0";

impl<'a> School<'a> {
    /// Whether there is something to learn: classes, and examples other than those that answers are
    /// compared on.
    pub(super) fn is_open(&self) -> bool {
        let (data, _) = self.data;
        matches!(data.task, Task::Classification { .. }) && data.test.is_some()
    }

    /// When what begins now has to end, so that time is left for others.
    pub(super) fn share(&self) -> Instant {
        let now = Instant::now();
        now + self.deadline.saturating_duration_since(now) / SHARE
    }

    /// The model with so many percent of its channels removed, taught again.
    pub(super) fn pruned(&self, original: &Model, percent: u32) -> anyhow::Result<Made> {
        let target = Target::Channels(f64::from(percent) / 100.0);
        let options = Options { target, importance: Importance::L2, ..Options::default() };
        let plan = Plan { options, taylor: false, rounds: 1 };
        let recipe = self.recipe(PRUNED)?;
        let lessons = self.lessons(&recipe, "prune");
        let ready = prune::ready(original)?;
        let report = prune::structured(&ready, &plan.options)?.report;
        anyhow::ensure!(
            report.after.parameters < report.before.parameters,
            "no channels go: their number stays a multiple of what engines compute at once"
        );
        let made = prune_and_recover(&ready, &plan, Some(&lessons))?;
        Ok(Made { model: made.model, is_cut: made.outcomes.iter().any(|it| it.is_cut) })
    }

    /// A planned model of integers, its weights trained to be integers.
    pub(super) fn rounded(
        &self,
        original: &Model,
        planned: (&Model, &quantize::Plan),
        ranges: (&BTreeMap<String, Range>, &quantize::Options),
    ) -> anyhow::Result<Made> {
        let recipe = self.recipe(ROUNDED)?;
        let lessons = self.lessons(&recipe, "quantize");
        let (made, outcome) = train_integers(original, planned, ranges, &lessons)?;
        Ok(Made { model: made.model, is_cut: outcome.is_cut })
    }

    fn recipe(&self, flags: &str) -> anyhow::Result<Recipe> {
        let flags =
            Defaults::try_parse_from(flags.split(' ')).context("failed to set up training")?;
        Ok(Recipe { seed: Some(self.seed), ..flags.recipe })
    }

    fn lessons<'b>(&'b self, recipe: &'b Recipe, command: &'static str) -> Lessons<'b> {
        Lessons {
            command,
            data: self.data,
            recipe,
            recovery: Recovery::Distill { temperature: TEMPERATURE, alpha: ALPHA },
            batches: 0,
            threads: modelyard_engine::threads::budget(),
            workshop: self.workshop,
            progress: self.progress,
            tells: false,
            interrupt: self.interrupt,
            deadline: Some(self.share()),
        }
    }
}
