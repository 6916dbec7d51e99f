//! What `torch.export.save` writes: `.pt2` files.
//!
//! | module | holds |
//! |---|---|
//! | `archive` | the zip file: layouts, weights |
//! | `schema` | the JSON of the program |
//! | `translate` | from that to a [`Program`] |
//! | `expression` | symbolic sizes |
//! | `outputs` | names of outputs |
//! | `pickled` | files that `torch.save` wrote: samples, weights of older layouts |

mod archive;
mod expression;
mod outputs;
mod pickled;
mod schema;
mod translate;

use crate::input::Source;
use crate::pytorch::graph::{InputKind, Meta, Program};
use crate::pytorch::weight::Weight;
use crate::{ConvertError, Limits};

use archive::Files;

/// What errors call the format.
const FORMAT: &str = "PyTorch exported program";

/// The major version of the JSON that is read. Torch 2.5 and later write it.
const SCHEMA: i64 = 8;

/// Reads the program in a `.pt2` file.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<Program, ConvertError> {
    read_with_samples(source, limits).map(|(program, _)| program)
}

/// Reads the program in a `.pt2` file and the inputs that it was exported with, in the order of
/// [`Program::user_inputs`].
pub(super) fn read_with_samples(
    source: &Source,
    limits: &Limits,
) -> Result<(Program, Vec<Weight>), ConvertError> {
    let files = Files::open(source, limits)?;
    let text = files.program()?;
    check_version(&archive::parse(&text, "models/model.json")?)?;
    let exported: schema::ExportedProgram = archive::parse(&text, "models/model.json")?;
    drop(text);
    let program = translate::program(exported, files.weights()?, limits)?;
    let samples = sample(&program, files.samples()).unwrap_or_default();
    Ok((program, samples))
}

/// The tensors among the leaves of the arguments that are inputs; `None` where the two do not fit.
fn sample(program: &Program, leaves: Vec<Option<Weight>>) -> Option<Vec<Weight>> {
    let kinds = program.graph.inputs.iter().zip(&program.inputs);
    let given = kinds.filter(|(_, kind)| matches!(kind, InputKind::User | InputKind::Fixed(_)));
    let given: Vec<(&String, &InputKind)> = given.collect();
    if given.len() != leaves.len() {
        return None;
    }
    let pairs = given.into_iter().zip(leaves);
    let user = pairs.filter(|((_, kind), _)| **kind == InputKind::User);
    user.map(|((name, _), leaf)| match program.graph.values.get(name)? {
        Meta::Tensor(element_type, sizes) => leaf.filter(|leaf| {
            leaf.element_type() == *element_type && leaf.sizes().len() == sizes.len()
        }),
        _ => None,
    })
    .collect()
}

fn check_version(versioned: &schema::Versioned) -> Result<(), ConvertError> {
    let version = match versioned.schema_version {
        schema::SchemaVersion::Pair { major: SCHEMA, .. } => return Ok(()),
        schema::SchemaVersion::Pair { major, minor } => format!("{major}.{minor}"),
        schema::SchemaVersion::Single(version) => version.to_string(),
    };
    let torch = &versioned.torch_version;
    let message = format!(
        "expected schema version {SCHEMA}, found {version} (written by torch {torch}); export the \
         model again with torch 2.5 or later, up to 2.15"
    );
    Err(damaged("the program", message))
}

fn damaged(place: &str, message: impl std::fmt::Display) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: message.to_string() }
}
