//! PyTorch: exported programs (`.pt2`), TorchScript, and weights that need an architecture.
//!
//! | module | holds |
//! |---|---|
//! | `graph` | programs as a typed graph: calls of ATen operators |
//! | `exported` | `.pt2` files |
//! | `arguments`, `types`, `inplace` | what PyTorch says of arguments, types, names |
//! | `ops` | the operators: their conversion and their evaluation |
//! | `functional`, `views` | programs without changes in place |
//! | `convert` | from a program to ONNX |
//! | `evaluate` | what a program computes |
//! | `script` | TorchScript archives |
//! | `model` | a program as a [`SourceModel`] |
//! | `weight` | parameters in files, read when they are asked for |
//! | `pickle` | pickles, read without doing what they say |
//! | `weights` | files that hold only weights: state dicts, safetensors |

mod arguments;
mod convert;
mod evaluate;
mod exported;
mod functional;
pub(crate) mod graph;
mod inplace;
pub(crate) mod model;
mod ops;
pub(crate) mod pickle;
pub(crate) mod script;
mod types;
mod views;
pub(crate) mod weight;
pub(crate) mod weights;

use crate::input::Source;
use crate::{ConvertError, Format, Limits, Options, SourceModel};

/// Reads a `.pt2` file.
pub(crate) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let (program, sample) = exported::read_with_samples(source, limits)?;
    model::ProgramModel::open_with_sample(program, sample, Format::ExportedProgram, options)
}

/// Names of the operators that are converted, such as `aten.conv2d.default`.
pub(crate) fn vocabulary() -> Vec<String> {
    ops::names().map(str::to_owned).collect()
}
