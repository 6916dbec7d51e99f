//! How a recipe becomes a model.

use std::collections::BTreeMap;

use anyhow::Context;
use modelyard_graph::rewrite::Target;
use modelyard_graph::weights::Narrow;
use modelyard_graph::{Limits, Model};
use modelyard_optimize::calibrate::{Calibration, Method};
use modelyard_optimize::improve::Alpha;
use modelyard_optimize::quantize::{self, Blocks, Options, Plan};
use modelyard_optimize::search::{Calibrator, Recipe, Static, Step};

use super::school::School;
use crate::observe::progress::Progress;
use crate::optimizing::improve::Improver;
use crate::optimizing::observe::observe;
use crate::optimizing::prepare;
use crate::optimizing::sample::Sample;
use crate::optimizing::workshop::Workshop;

/// Makes candidates of one model.
pub(super) struct Maker<'a> {
    pub(super) original: &'a Model,
    pub(super) limits: &'a Limits,
    pub(super) workshop: &'a Workshop,
    /// Examples that ranges are taken from.
    pub(super) calibration: Option<&'a Sample<'a>>,
    pub(super) progress: &'a Progress,
    /// Where pruned models learn.
    pub(super) school: &'a School<'a>,
    /// Whose operators fused ones may be.
    fuse: Target,
    /// What was seen in models before they were quantized, by their recipe.
    seen: BTreeMap<String, Calibration>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        (original, limits): (&'a Model, &'a Limits),
        (workshop, calibration): (&'a Workshop, Option<&'a Sample<'a>>),
        (school, fuse): (&'a School<'a>, Target),
        progress: &'a Progress,
    ) -> Maker<'a> {
        let seen = BTreeMap::new();
        Maker { original, limits, workshop, calibration, progress, school, fuse, seen }
    }

    /// The model that a recipe gives.
    pub(super) fn make(&mut self, recipe: &Recipe) -> anyhow::Result<Model> {
        let mut model = self.original.clone();
        for (number, step) in recipe.0.iter().enumerate() {
            let before = Recipe(recipe.0[..number].to_vec());
            model = self.step(model, step, &before)?;
        }
        model.metadata.insert("modelyard.optimized".into(), recipe.to_string());
        Ok(model)
    }

    fn step(&mut self, model: Model, step: &Step, before: &Recipe) -> anyhow::Result<Model> {
        let options = Options::default();
        Ok(match step {
            Step::Passes => prepare::fused(&model, self.limits, self.fuse)?,
            Step::Half => quantize::narrowed(&model, Narrow::Fp16)?.model,
            Step::Int4 => quantize::blockwise(&model, Blocks::default(), &options)?.model,
            Step::Dynamic => quantize::dynamic(&model, &options)?.model,
            Step::Static(step) => self.integers(&model, step, before)?,
            Step::Equalize => self.improver()?.equalized(&model, false)?.0.model,
            Step::Prune { percent } => {
                let place = (self.workshop, self.progress, self.limits);
                self.school.graduate(&model, *percent, place)?
            }
        })
    }

    fn integers(&mut self, model: &Model, step: &Static, before: &Recipe) -> anyhow::Result<Model> {
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
        let insert = |model: &Model| Ok(quantize::insert(model, &plan, &ranges, &options)?);
        Ok(match step.correct_bias {
            true => self.improver()?.corrected(model, &plan, insert)?.0.model,
            false => insert(model)?.model,
        })
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

    /// What was seen in a model so far.
    pub(super) fn known(&self, recipe: &Recipe) -> Option<&Calibration> {
        self.seen.get(&recipe.to_string())
    }
}
