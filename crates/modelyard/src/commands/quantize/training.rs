//! Quantization-aware training: weights learn to be integers.
//!
//! The quantized model is trained with its weights as floats that are rounded on the way; gradients pass
//! rounding as if it were not there. In the end the weights become the integers that they were rounded
//! to.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::calibrate::Range;
use modelyard_optimize::quantize::{self, Given, Options, Plan, Quantized, Weights};
use modelyard_train::trainer::trainable;

use super::integers::refused;
use crate::data::DataSet;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::training::interrupt::Interrupt;
use crate::training::network::{check_outputs, fitting_loss};
use crate::training::prepare::{self, Bound, Sets};
use crate::training::recipe::Recipe;
use crate::training::session::{Conditions, Job};

/// How weights learn to be integers.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Quantization-aware training")]
pub(crate) struct TrainingArgs {
    /// Train the quantized model on the data, so that its weights learn to be integers (mode static)
    #[arg(long, requires = "data", conflicts_with_all = ["adaround", "correct_bias"])]
    pub(super) qat: bool,
    /// Times that all examples are seen in training
    #[arg(long, value_name = "N", default_value = "3", requires = "qat")]
    epochs: usize,
    /// Learning rate of training, which falls to zero as a cosine
    #[arg(long, value_name = "RATE", default_value = "0.0001", requires = "qat")]
    learning_rate: f32,
    /// Examples a step of training
    #[arg(long, value_name = "N", default_value = "32", requires = "qat")]
    train_batch: usize,
}

/// What is trained, and on what.
pub(super) struct Training<'a> {
    pub(super) args: &'a TrainingArgs,
    pub(super) data: (&'a DataSet, &'a Path),
    pub(super) seed: u64,
    pub(super) progress: &'a Progress,
}

impl Training<'_> {
    /// The model of integers after training. Ranges stay as they are.
    pub(super) fn run(
        &self,
        (model, plan): (&Model, &Plan),
        ranges: &BTreeMap<String, Range>,
        options: &Options,
    ) -> anyhow::Result<Quantized> {
        let mut grids = quantize::grids(model, plan, ranges, options).map_err(refused)?;
        let rounded = quantize::insert_with(model, plan, (ranges, Weights::Trained), options);
        let trained = self.trained(model, rounded.map_err(refused)?.model)?;
        for (name, given) in &mut grids {
            let Given { numbers, .. } = given;
            if let Some(found) = floats(&trained, name) {
                *numbers = found;
            }
        }
        let weights = (ranges, Weights::Given(&grids));
        quantize::insert_with(&trained, plan, weights, options).map_err(refused)
    }

    /// The model of floats with what its weights have become in the rounded one.
    fn trained(&self, model: &Model, rounded: Model) -> anyhow::Result<Model> {
        let recipe = Recipe {
            learning_rate: Some(self.args.learning_rate),
            epochs: Some(self.args.epochs),
            batch: Some(self.args.train_batch),
            schedule: Some("cosine".to_owned()),
            seed: Some(self.seed),
            ..Recipe::default()
        };
        let (data, path) = self.data;
        let mut options = recipe.options(&data.task).exit_with(Exit::Usage)?;
        check_outputs(&rounded, &data.task).exit_with(Exit::Usage)?;
        fitting_loss((&rounded, &data.task), &recipe, &mut options)?;
        prepare::check_labels(&rounded, &data.task).exit_with(Exit::Usage)?;
        let names = trainable(&rounded).into_iter();
        let names: Vec<String> =
            names.filter(|name| model.graph.initializer(name).is_some()).collect();
        let binding = prepare::bind(data, &rounded, options.batch).exit_with(Exit::Usage)?;
        let sets = Sets::of(data, &recipe)?;
        let bound = Bound::new(data.train.as_ref(), &binding);
        let (training, validation) = (sets.training(&bound), sets.validation(&bound));
        let job = Job {
            command: "quantize",
            model: rounded,
            trained: names.clone(),
            data: (data, path),
            training: &training,
            validation: validation.as_ref().map(|part| part as _),
            test: None,
            options,
        };
        let interrupt = Interrupt::listen().context("failed to listen for signals")?;
        let found = job.train(&Conditions {
            checkpoints: None,
            resume: false,
            metrics: None,
            threads: modelyard_engine::threads::budget(),
            progress: self.progress,
            tells: false,
            interrupt: &interrupt,
            deadline: None,
            hold: None,
        })?;
        let mut model = model.clone();
        for constant in &mut model.graph.initializers {
            let is_trained = names.contains(&constant.name);
            if let Some(now) = found.model.graph.initializer(&constant.name)
                && is_trained
            {
                constant.clone_from(now);
            }
        }
        model.metadata = found.model.metadata;
        Ok(model.check()?)
    }
}

fn floats(model: &Model, name: &str) -> Option<Vec<f32>> {
    let tensor = model.graph.initializer(name)?.to_tensor()?;
    Some(tensor.values::<f32>().ok()?.into_owned())
}
