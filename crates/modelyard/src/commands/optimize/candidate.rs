//! How a recipe becomes a model.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context;
use modelyard_graph::rewrite::Target;
use modelyard_graph::weights::Narrow;
use modelyard_graph::{Limits, Model};
use modelyard_optimize::calibrate::{Calibration, Method};
use modelyard_optimize::improve::Alpha;
use modelyard_optimize::quantize::{self, Blocks, Options, Plan, Weights};
use modelyard_optimize::search::{Calibrator, Recipe, Rounding, Static, Step};

use super::kept::{Kept, Made};
use super::school::School;
use crate::observe::progress::Progress;
use crate::optimizing::improve::Improver;
use crate::optimizing::observe::observe;
use crate::optimizing::prepare;
use crate::optimizing::sample::Sample;
use crate::optimizing::workshop::Workshop;

/// Steps in which the rounding of one layer is learned, as `modelyard quantize --adaround` has it.
const ROUNDING_STEPS: usize = 500;

/// Makes candidates of one model.
pub(super) struct Maker<'a> {
    pub(super) original: &'a Model,
    pub(super) limits: &'a Limits,
    pub(super) workshop: &'a Workshop,
    /// Examples that ranges are taken from.
    pub(super) calibration: Option<&'a Sample<'a>>,
    pub(super) progress: &'a Progress,
    /// Where candidates learn.
    pub(super) school: &'a School<'a>,
    /// Candidates that took long to make.
    pub(super) kept: Kept<'a>,
    /// Whose operators fused ones may be.
    fuse: Target,
    /// What was seen in models before they were quantized, by their recipe.
    seen: BTreeMap<String, Calibration>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        (original, limits): (&'a Model, &'a Limits),
        calibration: Option<&'a Sample<'a>>,
        (school, kept): (&'a School<'a>, Kept<'a>),
        fuse: Target,
    ) -> Maker<'a> {
        let (workshop, progress, seen) = (school.workshop, school.progress, BTreeMap::new());
        Maker { original, limits, workshop, calibration, progress, school, kept, fuse, seen }
    }

    /// The model that a recipe gives.
    pub(super) fn make(&mut self, recipe: &Recipe) -> anyhow::Result<Model> {
        let mut model = self.original.clone();
        for (number, step) in recipe.0.iter().enumerate() {
            let [before, after] =
                [number, number + 1].map(|steps| Recipe(recipe.0[..steps].to_vec()));
            if !is_slow(step) {
                model = self.step(&model, step, &before)?.model;
            } else if let Some(found) = self.kept.find(&after)? {
                model = found;
            } else {
                let made = self.step(&model, step, &before)?;
                model = self.kept.keep(&after, made)?;
            }
        }
        model.metadata.insert("modelyard.optimized".into(), recipe.to_string());
        Ok(model)
    }

    fn step(&mut self, model: &Model, step: &Step, before: &Recipe) -> anyhow::Result<Made> {
        let options = Options::default();
        Ok(Made::whole(match step {
            Step::Passes => prepare::fused(model, self.limits, self.fuse)?,
            Step::Half => quantize::narrowed(model, Narrow::Fp16)?.model,
            Step::Int4 => quantize::blockwise(model, Blocks::default(), &options)?.model,
            Step::Dynamic => quantize::dynamic(model, &options)?.model,
            Step::Equalize => self.improver()?.equalized(model, false)?.0.model,
            Step::Static(step) => return self.integers(model, step, before),
            Step::Prune { percent } => return self.school.pruned(model, *percent),
        }))
    }

    fn integers(&mut self, model: &Model, step: &Static, before: &Recipe) -> anyhow::Result<Made> {
        let options = Options { exclude: step.floats.clone(), ..Options::default() };
        let smoothed;
        let (model, before) = if step.smooth {
            smoothed = self.improver()?.smoothed(model, &options, (Alpha::Search, true))?.model;
            // Nodes that stay floats are not smoothed: what is seen depends on which these are.
            let smooth = Static { smooth: true, floats: step.floats.clone(), ..Static::default() };
            (&smoothed, before.then(Step::Static(smooth)))
        } else {
            (model, before.clone())
        };
        let plan = Plan::new(model, &options)?;
        let seen = self.seen(model, &before)?;
        let method = match step.calibrator {
            Calibrator::MinMax => Method::MinMax,
            Calibrator::Percentile => Method::Percentile(99.99),
            Calibrator::Entropy => Method::Entropy,
            Calibrator::Mse => Method::Mse,
        };
        let ranges = seen.ranges_by(method, options.activations)?;
        let mut made = Made::whole(Model::clone(model));
        let mut grids = BTreeMap::new();
        match step.rounding {
            Rounding::Nearest => {}
            Rounding::Learned => {
                grids = quantize::grids(model, &plan, &ranges, &options)?;
                let deadline = self.school.share();
                let how = (ROUNDING_STEPS, Some(deadline));
                self.improver()?.rounded((model, &plan), &mut grids, how)?;
                made.is_cut = Instant::now() >= deadline;
            }
            Rounding::Trained => {
                return self.school.rounded(self.original, (model, &plan), (&ranges, &options));
            }
        }
        let weights = || (&ranges, Weights::Given(&grids));
        let insert = |model: &Model| Ok(quantize::insert_with(model, &plan, weights(), &options)?);
        made.model = match step.correct_bias {
            true => self.improver()?.corrected(model, &plan, insert)?.0.model,
            false => insert(model)?.model,
        };
        Ok(made)
    }

    fn improver(&self) -> anyhow::Result<Improver<'a>> {
        let sample = self.calibration.context("there are no examples to improve it by")?;
        Ok(Improver { sample, workshop: self.workshop, progress: self.progress })
    }

    /// What is seen in a model; looked at once, for all methods and all choices of nodes.
    pub(super) fn seen(&mut self, model: &Model, recipe: &Recipe) -> anyhow::Result<&Calibration> {
        let key = recipe.to_string();
        if !self.seen.contains_key(&key) {
            let sample = self.calibration.context("there are no examples to take ranges from")?;
            let tensors = Plan::possible(model, &Options::default());
            let tensors: Vec<&str> = tensors.iter().map(String::as_str).collect();
            let calibration = Calibration::new(Method::MinMax).with_histograms();
            let found =
                observe((model, &tensors), (sample, self.workshop), calibration, self.progress)?;
            self.seen.insert(key.clone(), found);
        }
        self.seen.get(&key).context("what was seen is kept")
    }
}

/// Whether a step takes so long that what it gives is worth keeping.
fn is_slow(step: &Step) -> bool {
    match step {
        Step::Prune { .. } => true,
        Step::Static(step) => step.rounding != Rounding::Nearest,
        _ => false,
    }
}
