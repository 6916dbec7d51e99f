//! How to train.

use serde::{Deserialize, Serialize};

use super::LossKind;
use crate::optimizer::{Clip, Penalties, Rule, Schedule};

/// How to train: with the seed, all that decides what comes of a run on the same examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How answers are graded.
    pub loss: LossKind,
    /// How weights follow their gradients.
    pub rule: Rule,
    /// What keeps weights small.
    pub penalties: Penalties,
    /// What keeps gradients small.
    pub clip: Clip,
    /// The learning rate over the steps.
    pub schedule: Schedule,
    /// Times that all examples are seen.
    pub epochs: usize,
    /// Examples a step.
    pub batch: usize,
    /// Decides the order of examples and what dropout drops.
    pub seed: u64,
    /// Whether to stop when the loss falls no more.
    pub early_stop: Option<EarlyStop>,
    /// Most bytes that the values of one step may take at once. Decides nothing but whether it
    /// runs.
    #[serde(skip, default = "unlimited")]
    pub memory_limit_bytes: usize,
}

fn unlimited() -> usize {
    usize::MAX
}

/// When to stop early. The weights of the best epoch are restored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// Epochs without a lower loss after which to stop. The validation loss where there is one.
    pub patience: usize,
    /// How much lower it must be to count.
    pub min_delta: f64,
}
