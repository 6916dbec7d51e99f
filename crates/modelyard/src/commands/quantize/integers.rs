//! Static quantization, with what makes a model bear it better.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::OptimizeError;
use modelyard_optimize::calibrate::{Calibration, Range};
use modelyard_optimize::quantize::{self, Options, Plan, Quantized, Weights};

use super::options::QuantizeArgs;
use super::report::Improved;
use crate::data::DataSet;
use crate::exit::{Exit, ExitWith};
use crate::optimizing::answers::Question;
use crate::optimizing::improve::Improver;
use crate::optimizing::observe::observe;
use crate::optimizing::recover::{Lessons, Recovery, train_integers};
use crate::optimizing::sensitivity;
use crate::source::labels;
use crate::training::interrupt::Interrupt;
use crate::training::recipe::Recipe;

/// By tensor.
type Ranges = BTreeMap<String, Range>;

/// Examples by which the sensitivity of nodes is measured.
const FEW: usize = 64;

/// What static quantization needs besides a model.
pub(super) struct Static<'a> {
    pub(super) args: &'a QuantizeArgs,
    pub(super) options: Options,
    pub(super) improver: Improver<'a>,
    /// Examples, and where they are.
    pub(super) data: (&'a DataSet, &'a Path),
    /// How weights learn to be integers, if they do.
    pub(super) training: Option<Recipe>,
}

impl Static<'_> {
    /// The model of integers, and what was done for it.
    pub(super) fn make(&self, model: &Model) -> anyhow::Result<(Quantized, Improved)> {
        let mut improved = Improved::default();
        let model = self.easier(model, &mut improved)?;
        let mut options = self.options.clone();
        let ranges = self.ranges(&model)?;
        if self.args.keep_sensitive > 0 {
            options.exclude.extend(self.sensitive(&model, &ranges, &mut improved)?);
        }
        let plan = Plan::new(&model, &options).map_err(refused)?;
        let mut made = self.integers((&model, &plan), (&ranges, &options), &mut improved)?;
        self.improver.compare(&model, &mut made)?;
        Ok((made, improved))
    }

    /// Writes the plan, with better integers and biases where these were asked for.
    fn integers(
        &self,
        (model, plan): (&Model, &Plan),
        (ranges, options): (&Ranges, &Options),
        improved: &mut Improved,
    ) -> anyhow::Result<Quantized> {
        if let Some(recipe) = &self.training {
            improved.notes.push("trained with rounded weights".to_owned());
            return self.trained(recipe, (model, plan), (ranges, options));
        }
        let mut grids = BTreeMap::new();
        if let Some(steps) = self.args.adaround {
            grids = quantize::grids(model, plan, ranges, options).map_err(refused)?;
            let deadline = self.args.adaround_time.map(|time| Instant::now() + time);
            let (learned, without) =
                self.improver.rounded((model, plan), &mut grids, (steps, deadline))?;
            improved.note_rounded(learned, &without);
        }
        let weights = || (ranges, Weights::Given(&grids));
        let insert =
            |model: &Model| quantize::insert_with(model, plan, weights(), options).map_err(refused);
        if !self.args.correct_bias {
            return insert(model);
        }
        let (made, sites) = self.improver.corrected(model, plan, insert)?;
        improved.note_biases(sites);
        Ok(made)
    }

    /// Weights that learn from the data to be integers.
    fn trained(
        &self,
        recipe: &Recipe,
        planned: (&Model, &Plan),
        (ranges, options): (&Ranges, &Options),
    ) -> anyhow::Result<Quantized> {
        let interrupt = Interrupt::listen().context("failed to listen for signals")?;
        let lessons = Lessons {
            command: "quantize",
            data: self.data,
            recipe,
            recovery: Recovery::Finetune,
            batches: 0,
            threads: modelyard_engine::threads::budget(),
            workshop: self.improver.workshop,
            progress: self.improver.progress,
            tells: false,
            interrupt: &interrupt,
            deadline: None,
        };
        let trained = train_integers(planned.0, planned, (ranges, options), &lessons);
        trained.map(|(made, _)| made)
    }

    /// Ranges of all that the plan, or any plan with fewer nodes, needs.
    fn ranges(&self, model: &Model) -> anyhow::Result<Ranges> {
        let plan = Plan::new(model, &self.options).map_err(refused)?;
        let possible = Plan::possible(model, &self.options);
        let tensors = match self.args.keep_sensitive {
            0 => plan.observed(),
            _ => possible.iter().map(String::as_str).collect(),
        };
        let Improver { sample, workshop, progress } = self.improver;
        let calibration = Calibration::new(self.args.calibrator);
        let seen = observe((model, &tensors), (sample, workshop), calibration, progress)?;
        seen.ranges(self.options.activations).map_err(refused)
    }

    /// Names of the nodes that lose most, to be left as floats.
    fn sensitive(
        &self,
        model: &Model,
        ranges: &Ranges,
        improved: &mut Improved,
    ) -> anyhow::Result<Vec<String>> {
        let Improver { sample, workshop, progress } = self.improver;
        let original = workshop.load(model)?;
        let labels = labels::of_model(original.session.signature(), &model.metadata);
        let task = &self.data.0.task;
        let question = Question::new(original.session.as_ref(), (task, labels), None)?;
        let asked = (&question, &sample.few(FEW));
        let found = sensitivity::measure(
            (model, ranges, &self.options),
            asked,
            (workshop, progress),
            None,
        )?;
        let kept = found.iter().take(self.args.keep_sensitive);
        let kept: Vec<String> = kept.map(|found| found.node.clone()).collect();
        improved.note_sensitive(found, kept.len());
        Ok(kept)
    }

    /// The same model of floats, easier to make integers of.
    fn easier(&self, model: &Model, improved: &mut Improved) -> anyhow::Result<Model> {
        let mut model = model.clone();
        if self.args.equalize {
            let (equalized, absorbed) = self.improver.equalized(&model, self.args.unclip)?;
            improved.note_equalized(&equalized, &absorbed);
            model = equalized.model;
        }
        if let Some(alpha) = self.args.smooth {
            let how = (alpha, !self.args.smooth_folded);
            let smoothed = self.improver.smoothed(&model, &self.options, how)?;
            improved.note_smoothed(&smoothed);
            model = smoothed.model;
        }
        Ok(model)
    }
}

/// A model or an option that cannot be used.
pub(super) fn refused(error: OptimizeError) -> anyhow::Error {
    Exit::Model.coded(error.into())
}

/// The examples, without which there are no ranges.
pub(super) fn needed<T>(sample: Option<T>) -> anyhow::Result<T> {
    let found = sample.context("static quantization takes ranges from examples: give --data");
    found.exit_with(Exit::Usage)
}
