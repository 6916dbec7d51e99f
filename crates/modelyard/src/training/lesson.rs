//! A model and what it learns from, put together: what every command does that trains one model on one
//! data set.

use std::path::Path;

use modelyard_graph::Model;
use modelyard_train::Array;
use modelyard_train::data::{Examples, Taught};
use modelyard_train::trainer::LossKind;

use super::network::{check_outputs, fitting_loss};
use super::prepare::{self, Bound, Sets};
use super::recipe::Recipe;
use super::session::Job;
use crate::data::{DataSet, Task};
use crate::exit::{Exit, ExitWith};

/// A model and what it learns from.
pub(crate) struct Lesson<'a> {
    /// The command, for the training record.
    pub(crate) command: &'a str,
    /// The model with its first weights.
    pub(crate) model: Model,
    /// Names of the weights to train.
    pub(crate) trained: Vec<String>,
    /// What it learns from, and where that is.
    pub(crate) data: (&'a DataSet, &'a Path),
    /// How to train.
    pub(crate) recipe: &'a Recipe,
    /// Logits of a teacher for all examples to learn from, and the loss that they are learned by.
    pub(crate) teacher: Option<(&'a Array, LossKind)>,
}

impl Lesson<'_> {
    /// Gives the model with its examples to `train`.
    pub(crate) fn give<T>(
        self,
        train: impl FnOnce(Job<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (data, recipe) = (self.data.0, self.recipe);
        let mut options = match self.teacher {
            Some(_) => recipe.taught(&data.task),
            None => recipe.options(&data.task),
        }
        .exit_with(Exit::Usage)?;
        check_outputs(&self.model, &data.task).exit_with(Exit::Usage)?;
        prepare::check_labels(&self.model, &data.task).exit_with(Exit::Usage)?;
        match self.teacher {
            Some((_, loss)) => options.loss = loss,
            None => fitting_loss((&self.model, &data.task), recipe, &mut options)?,
        }
        let sets = Sets::of(data, recipe)?;
        let binding = prepare::bind(data, &self.model, options.batch).exit_with(Exit::Usage)?;
        let bound = Bound::new(data.train.as_ref(), &binding);
        let taught = self.teacher.map(|(logits, _)| Taught {
            of: &bound,
            labelled: true,
            logits: logits.clone(),
        });
        let source: &dyn Examples = match &taught {
            Some(taught) => taught,
            None => &bound,
        };
        let (training, validation) = (sets.training(source), sets.validation(source));
        let is_labelled = !matches!(data.task, Task::Unlabelled);
        let test = data.test.as_ref().filter(|_| is_labelled);
        let test = test.map(|test| Bound::new(test.as_ref(), &binding));
        train(Job {
            command: self.command,
            model: self.model,
            trained: self.trained,
            data: self.data,
            training: &training,
            validation: validation.as_ref().map(|part| part as _),
            test: test.as_ref().map(|test| test as _),
            options,
        })
    }
}
