//! Training of ONNX graphs: differentiation, losses, optimizers, layers, the loop.
//!
//! Any graph whose operators are in `ops` can be evaluated in training mode and differentiated by
//! any of its initializers. No I/O, no clock: files, terminals and time belong to the caller.
//!
//! | module | holds |
//! |---|---|
//! | [`Array`] | what flows between nodes |
//! | `element` | what operators do alike with floats, integers and booleans |
//! | `operator`, `ops` | the seam of an operator; one file an operator, forward and backward |
//! | [`Program`], [`Plan`] | a compiled graph; what a run of it evaluates and differentiates |
//! | [`loss`], [`optimizer`] | what is minimized, and how |
//! | [`layers`] | models from a short description |
//! | [`data`] | examples and batches |
//! | [`trainer`] | the loop, checkpoints |
//! | [`transfer`] | a new head on a model that is trained |
//! | `math` | matrix products, broadcasting, vector loops |
//! | `buffers`, `workers` | memory and threads of a step |

mod array;
mod buffers;
pub mod data;
mod element;
mod error;
pub mod layers;
pub mod loss;
mod math;
mod normalization;
mod operator;
mod ops;
pub mod optimizer;
mod program;
mod site;
mod statistics;
#[cfg(test)]
mod testing;
pub mod trainer;
pub mod transfer;
mod workers;

pub use array::{Array, Data};
pub use buffers::Buffers;
pub use error::{CompileError, OpError, RunError};
pub use normalization::{Normalization, normalize_input};
pub use program::{Mode, Pass, Plan, Program, Run, Weights};
pub use statistics::with_statistics;
pub use workers::Workers;
