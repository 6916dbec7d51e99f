//! Static quantization, with what makes a model bear it better.

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::OptimizeError;
use modelyard_optimize::calibrate::Calibration;
use modelyard_optimize::quantize::{self, Options, Plan, Quantized};

use super::options::QuantizeArgs;
use super::report::Improved;
use crate::exit::{Exit, ExitWith};
use crate::optimizing::improve::Improver;
use crate::optimizing::observe::observe;

/// What static quantization needs besides a model.
pub(super) struct Static<'a> {
    pub(super) args: &'a QuantizeArgs,
    pub(super) options: Options,
    pub(super) improver: Improver<'a>,
}

impl Static<'_> {
    /// The model of integers, and what was done for it.
    pub(super) fn make(&self, model: &Model) -> anyhow::Result<(Quantized, Improved)> {
        let mut improved = Improved::default();
        let model = self.easier(model, &mut improved)?;
        let plan = Plan::new(&model, &self.options).map_err(refused)?;
        let Improver { sample, workshop, progress } = self.improver;
        let calibration = Calibration::new(self.args.calibrator);
        let seen = observe((&model, &plan.observed()), (sample, workshop), calibration, progress)?;
        let ranges = seen.ranges(self.options.activations).map_err(refused)?;
        let insert =
            |model: &Model| quantize::insert(model, &plan, &ranges, &self.options).map_err(refused);
        if !self.args.correct_bias {
            return Ok((insert(&model)?, improved));
        }
        let (made, without) = self.improver.corrected(&model, &plan, insert)?;
        improved.note_biases(&made, &without);
        Ok((made, improved))
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
