//! Which models are tried, in which order, and which of them is the best.
//!
//! Pure functions of what was tried so far: whoever calls them makes the models, runs and measures
//! them.
//!
//! | module | holds |
//! |---|---|
//! | [`Recipe`], [`Step`] | how a candidate is made |
//! | [`Trial`], [`Figures`] | what came of it |
//! | [`Goal`], [`Budget`] | what is wanted |
//! | `strategy`, `integers`, `history` | [`next`]: what to try next |
//! | `choice` | [`best`], [`front`]: what was won |

mod choice;
mod history;
mod integers;
mod recipe;
mod strategy;
#[cfg(test)]
mod tests;

pub use choice::{best, front, nearest};
pub use recipe::{Calibrator, Recipe, Rounding, Static, Step};
use serde::{Deserialize, Serialize};
pub use strategy::{Move, Situation, next};

use crate::statistics::Difference;

/// What is to get better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Time of one call with the smallest batch.
    Latency,
    /// Time per example in large batches.
    Throughput,
    /// Bytes of the file.
    Size,
    /// Bytes of the loaded model.
    Memory,
}

/// How much worse the answers may get.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The largest drop; see [`Figures::drop`].
    pub drop: f64,
}

/// What was measured of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How much worse the answers are than the original's; negative where they are better. The part
    /// of the examples for classes, relative to the original's error for values, and the part that is
    /// answered otherwise where nobody knows what is right.
    pub drop: Difference,
    /// Time of one call over the original's.
    pub latency: Difference,
    /// Time per example in large batches over the original's.
    pub throughput: Difference,
    /// Microseconds of one call: the median.
    pub latency_us: f64,
    /// Microseconds per example in large batches: the median.
    pub example_us: f64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that the process grew by when it was loaded.
    pub memory_bytes: u64,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// How it was made.
    pub recipe: Recipe,
    /// What was measured; or why it could not be.
    pub outcome: Result<Figures, String>,
}

impl Figures {
    /// Whether the answers are good enough, as far as the examples tell.
    pub fn is_within(&self, budget: Budget) -> bool {
        self.drop.estimate <= budget.drop
    }

    /// What is to get better, smaller being better: a ratio to the original for times, bytes else.
    pub fn goal(&self, goal: Goal) -> f64 {
        match goal {
            Goal::Latency => self.latency.estimate,
            Goal::Throughput => self.throughput.estimate,
            Goal::Size => self.bytes as f64,
            Goal::Memory => self.memory_bytes as f64,
        }
    }
}
