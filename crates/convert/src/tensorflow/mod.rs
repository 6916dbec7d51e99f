//! TensorFlow: SavedModel folders and frozen graphs.
//!
//! | module | holds |
//! |---|---|
//! | `proto`, `census` | the wire form, and its bounds |
//! | `table`, `bundle` | checkpoints |
//! | `attrs`, `dtype`, `weight` | attributes, types, constants |
//! | `graph` | the graph to work with |
//! | `inline`, `scope`, `arguments` | from definitions to that graph: functions written out |
//! | `sides` | sides of old control flow that are never taken |
//! | `variables`, `tables` | what variables and lookup tables hold |
//! | `saved_model`, `frozen` | the two kinds of files |
//! | `model` | the model that was read |
//! | `value`, `context`, `fold`, `writing`, `unknown` | conversion: what is known of values, what is written, what is not |
//! | `control`, `lists` | `If`, `While`, `Case` and the lists that loops fill |
//! | `evaluate` | the reference evaluator |
//! | `ops` | the operators, each with its conversion and its definition |

mod arguments;
mod attrs;
mod bundle;
mod census;
mod context;
mod control;
pub(crate) mod dtype;
mod evaluate;
mod fold;
mod frozen;
mod graph;
mod inline;
mod lists;
mod model;
mod ops;
pub(crate) mod proto;
mod saved_model;
mod scope;
mod sides;
mod table;
mod tables;
mod unknown;
mod value;
mod variables;
mod weight;
mod writing;

use crate::export::Named;
use crate::input::Source;
use crate::{ConvertError, Limits, Options, SourceModel};

/// Bytes that a graph may have: what protobuf can hold.
const MAX_GRAPH_BYTES: u64 = 2 << 30;

/// Reads a SavedModel folder, or the `saved_model.pb` in one.
pub(crate) fn read_saved_model(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    Ok(Box::new(saved_model::read(source, options, limits)?))
}

/// As [`read_saved_model`], with the names that the signature has for its inputs and outputs.
pub(crate) fn read_named(source: &Source, limits: &Limits) -> Result<Named, ConvertError> {
    let model = saved_model::read(source, &Options::default(), limits)?;
    let [inputs, outputs] =
        [&model.inputs, &model.outputs].map(|all| all.iter().map(|one| one.name.clone()).collect());
    Ok(Named { source: Box::new(model), inputs, outputs })
}

/// Reads a frozen graph.
pub(crate) fn read_frozen(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    Ok(Box::new(frozen::read(source, options, limits)?))
}

/// Names of the operators that are converted.
pub(crate) fn vocabulary() -> Vec<String> {
    let special = control::OPERATORS.iter().chain(&lists::OPERATORS).copied();
    special.chain(ops::names()).map(str::to_owned).collect()
}
