//! Models that were changed learn again: with fewer channels, with zeros, with integers. Prints nothing but
//! what the caller's progress shows.
//!
//! | module | does |
//! |---|---|
//! | `mod` | what is learned from, and one training |
//! | `teacher` | what the original answers |
//! | `channels` | fewer channels, and what is left trained |
//! | `zeros` | weights become zero while the others are trained |
//! | `aware` | weights learn to be integers |

mod aware;
mod channels;
mod teacher;
mod zeros;

use std::path::Path;
use std::time::Instant;

use modelyard_graph::Model;
use modelyard_optimize::OptimizeError;
use modelyard_train::trainer::{self, Hold};
use modelyard_train::with_statistics;

use super::workshop::Workshop;
use crate::data::DataSet;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::training::interrupt::Interrupt;
use crate::training::lesson::Lesson;
use crate::training::recipe::Recipe;
use crate::training::session::{Conditions, Trained};
pub(crate) use aware::train_integers;
pub(crate) use channels::{Plan, prune_and_recover};
use teacher::Teacher;
pub(crate) use zeros::thin_out_and_recover;

/// How a model makes up for what it lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Recovery {
    /// Not at all.
    None,
    /// It learns the data again.
    Finetune,
    /// It learns to answer as the original does, beside the data.
    Distill {
        /// Divides the logits of both.
        temperature: f32,
        /// Weight of the original beside the labels.
        alpha: f32,
    },
}

/// What divides the logits in distillation, unless told otherwise (Hinton, Vinyals, Dean, 2015).
pub(crate) const TEMPERATURE: f32 = 4.0;

/// The weight of the original beside the labels, unless told otherwise.
pub(crate) const ALPHA: f32 = 0.7;

/// What a model that was changed learns from, and how.
pub(crate) struct Lessons<'a> {
    /// The command, for the training record.
    pub(crate) command: &'static str,
    /// The data, and where it is.
    pub(crate) data: (&'a DataSet, &'a Path),
    /// How to train.
    pub(crate) recipe: &'a Recipe,
    /// How to make up for what was lost.
    pub(crate) recovery: Recovery,
    /// Batches from which the Taylor importance is taken.
    pub(crate) batches: usize,
    /// Threads to train with.
    pub(crate) threads: usize,
    /// Runs the original, as a teacher.
    pub(crate) workshop: &'a Workshop,
    /// Where a waiting person looks.
    pub(crate) progress: &'a Progress,
    /// Whether every epoch is told.
    pub(crate) tells: bool,
    /// What stops it.
    pub(crate) interrupt: &'a Interrupt,
    /// When training ends, whatever remains to be done. Rounds share the time that is left.
    pub(crate) deadline: Option<Instant>,
}

/// One training.
#[derive(Clone, Copy, Default)]
struct Training<'a> {
    /// Names of the weights to train; all where none are given.
    only: Option<&'a [String]>,
    deadline: Option<Instant>,
    hold: Option<&'a Hold>,
}

impl Lessons<'_> {
    /// Trains a model as these say.
    fn train(
        &self,
        model: Model,
        teacher: Option<&Teacher>,
        how: Training<'_>,
    ) -> anyhow::Result<Trained> {
        let model = with_statistics(&model).exit_with(Exit::Model)?;
        let trained = how.only.map_or_else(|| trainer::trainable(&model), <[String]>::to_vec);
        let lesson = Lesson {
            command: self.command,
            model,
            trained,
            data: self.data,
            recipe: self.recipe,
            teacher: teacher.map(Teacher::taught),
        };
        lesson.give(|job| {
            job.train(&Conditions {
                checkpoints: None,
                resume: false,
                metrics: None,
                threads: self.threads,
                progress: self.progress,
                tells: self.tells,
                interrupt: self.interrupt,
                deadline: how.deadline,
                hold: how.hold,
            })
        })
    }

    /// Whether anything is to be learned.
    fn are_given(&self) -> bool {
        self.recovery != Recovery::None
    }

    /// When the next of so many rounds ends.
    fn share(&self, rounds: usize) -> Option<Instant> {
        let now = Instant::now();
        let left = self.deadline?.saturating_duration_since(now);
        Some(now + left / u32::try_from(rounds).unwrap_or(u32::MAX).max(1))
    }
}

/// A model or an option that pruning cannot use.
pub(crate) fn refused(error: OptimizeError) -> anyhow::Error {
    Exit::Model.coded(error.into())
}
