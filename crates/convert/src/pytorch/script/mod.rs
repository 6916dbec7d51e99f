//! TorchScript: what `torch.jit.save` writes of a traced or scripted module.
//!
//! The archive holds a tree of objects (pickled), tensors, and source code in a subset of Python.
//! Nothing of it is executed: the code of `forward` is evaluated as far as constants go, and what
//! is left, calls on tensors, is the graph of a [`Program`](super::graph::Program).
//!
//! | module | holds |
//! |---|---|
//! | `token`, `syntax`, `parse`, `parse_statement`, `parse_expression` | from text to statements |
//! | `library` | the archive: code by name, tensors |
//! | `objects` | the tree of modules, constants of the code |
//! | `value` | what the code computes with |
//! | `interpret`, `call`, `statements`, `expression` | the code, evaluated |
//! | `budget` | how much it may do and make |
//! | `builtin`, `containers`, `lists`, `slices`, `texts`, `numbers` | what Python does |
//! | `tensors`, `resolve`, `codes`, `constants`, `about` | calls of ATen's operators, questions about tensors |
//! | `shapes`, `rules`, `cost`, `sizes` | what is known of their results |
//! | `fused` | operators that are whole layers |
//! | `choice` | branches that depend on data |
//! | `guards`, `words` | what is taken for granted of free sizes |
//! | `inputs`, `outputs` | what `forward` takes and gives |
//! | `build`, `state`, `report` | the whole program, state that modules keep, what is said of both |

mod about;
mod budget;
mod build;
mod builtin;
mod call;
mod choice;
mod codes;
mod constants;
mod containers;
mod cost;
mod expression;
mod fused;
mod guards;
mod inputs;
mod interpret;
mod library;
mod lists;
mod numbers;
mod objects;
mod outputs;
mod parse;
mod parse_expression;
mod parse_statement;
mod report;
mod resolve;
mod rules;
mod shapes;
mod sizes;
mod slices;
mod state;
mod statements;
mod syntax;
mod tensors;
mod texts;
mod token;
mod value;
mod words;

use crate::input::Source;
use crate::pytorch::model::ProgramModel;
use crate::{ConvertError, Format, Limits, Options, SourceModel};

/// What errors call the format.
const FORMAT: &str = "TorchScript archive";

/// How much stack the evaluation of code has: calls, blocks and expressions nest.
const STACK_BYTES: usize = 256 << 20;

/// Reads a TorchScript archive.
pub(crate) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    // On a thread of its own: a stack that is as deep as code may nest.
    let source_path = source.path.clone();
    let built = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let run = thread.spawn_scoped(scope, || build::program(source, options, limits));
        let run = run.map_err(|source| ConvertError::Io {
            action: "start a thread for",
            path: source_path.clone(),
            source,
        })?;
        run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    ProgramModel::open(built?, Format::TorchScript, options)
}

fn damaged(place: &str, message: impl std::fmt::Display) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: message.to_string() }
}
