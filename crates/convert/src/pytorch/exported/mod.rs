//! What `torch.export.save` writes: `.pt2` files.
//!
//! | module | holds |
//! |---|---|
//! | `archive` | the zip file: layouts, weights |
//! | `schema` | the JSON of the program |
//! | `translate` | from that to a [`Program`] |
//! | `expression` | symbolic sizes |
//! | `outputs` | names of outputs |

mod archive;
mod expression;
mod outputs;
mod schema;
mod translate;

use crate::input::Source;
use crate::pytorch::graph::Program;
use crate::{ConvertError, Limits};

use archive::Files;

/// What errors call the format.
const FORMAT: &str = "PyTorch exported program";

/// The major version of the JSON that is read. Torch 2.5 and later write it.
const SCHEMA: i64 = 8;

/// Reads the program in a `.pt2` file.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<Program, ConvertError> {
    let files = Files::open(source, limits)?;
    let text = files.program()?;
    check_version(&archive::parse(&text, "models/model.json")?)?;
    let exported: schema::ExportedProgram = archive::parse(&text, "models/model.json")?;
    drop(text);
    translate::program(exported, files.weights()?, limits)
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
