//! Examples to learn from, and how they come in batches.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`Examples`], the seam to where examples are; [`Batch`] |
//! | `memory` | [`InMemory`]: examples that are in memory |
//! | `taught` | [`Taught`], [`Joined`]: examples with a teacher's answers, and two sources as one |
//! | `batches` | [`Batches`]: shuffled, cut, and loaded ahead on another thread |

mod batches;
mod memory;
mod taught;

pub use batches::{Batches, Order};
pub use memory::{InMemory, Part};
pub use taught::{Joined, Taught};

use crate::array::Array;

/// Where examples are: in memory, or in files that are read when their turn comes.
pub trait Examples: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// The examples of these numbers, each below [`Examples::len`], in this order.
    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// By name of the model's input: an array whose first dimension counts the examples.
    pub inputs: Vec<(String, Array)>,
    /// What the model should answer.
    pub targets: Targets,
}

/// What a model should answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The number of a class, one an example.
    Classes(Vec<usize>),
    /// Floats, of the shape of the model's output.
    Values(Array),
    /// What a teacher answers: its logits, a row an example, beside the classes where they are
    /// known. For distillation.
    Soft {
        /// The teacher's logits.
        logits: Array,
        /// The number of the class of each example, where it is known.
        classes: Vec<Option<usize>>,
    },
    /// Nothing is known: examples for a teacher to answer.
    Unknown,
}

impl Targets {
    /// The targets of these examples, in this order.
    pub fn pick(&self, numbers: &[usize]) -> Targets {
        fn pick<T: Copy>(classes: &[T], numbers: &[usize]) -> Vec<T> {
            numbers.iter().map(|&number| classes[number]).collect()
        }
        match self {
            Targets::Classes(classes) => Targets::Classes(pick(classes, numbers)),
            Targets::Values(values) => Targets::Values(values.rows(numbers)),
            Targets::Soft { logits, classes } => {
                Targets::Soft { logits: logits.rows(numbers), classes: pick(classes, numbers) }
            }
            Targets::Unknown => Targets::Unknown,
        }
    }

    /// Number of examples with targets; `None` where nothing is known.
    pub fn count(&self) -> Option<usize> {
        match self {
            Targets::Classes(classes) => Some(classes.len()),
            Targets::Values(values) | Targets::Soft { logits: values, .. } => {
                Some(values.shape().first().copied().unwrap_or(0))
            }
            Targets::Unknown => None,
        }
    }
}

impl Batch {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.inputs.first().and_then(|(_, array)| array.shape().first().copied()).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why examples could not be loaded: what, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DataError(pub String);
