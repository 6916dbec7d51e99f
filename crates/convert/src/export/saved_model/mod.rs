//! TensorFlow's SavedModel: a folder that TensorFlow 1 and 2 load, with one signature,
//! `serving_default`, whose inputs and outputs have the names that they have in the model.
//!
//! It is a graph of operators, as TensorFlow 1 saves them; TensorFlow 2 loads it as a function.
//!
//! | module | holds |
//! |---|---|
//! | `graph` | node by node, with what is known of values |
//! | `call`, `value` | what a rule sees of its node; why one refuses |
//! | `writer`, `vocabulary`, `op` | operators of TensorFlow, named and with their attributes |
//! | `sizes` | sizes, known or computed |
//! | `constant` | weights |
//! | `save` | the folder |
//! | `ops` | the operators of ONNX, a file a family |

mod call;
mod constant;
mod graph;
mod op;
mod ops;
mod save;
mod sizes;
mod value;
mod vocabulary;
mod writer;

use super::{Prepared, Written};
use crate::ConvertError;

/// Writes a model that was prepared. An error names all that has no counterpart.
pub(super) fn write(prepared: &Prepared) -> Result<Written, ConvertError> {
    let graph = graph::write(prepared)?;
    let steps = graph.steps.clone();
    let files = save::files(graph, prepared.options.verified.as_deref())?;
    Ok(Written { files, steps, notes: Vec::new() })
}

/// Names of the operators that are written.
pub(super) fn operators() -> Vec<String> {
    super::lower::with_lowered(ops::names())
}
