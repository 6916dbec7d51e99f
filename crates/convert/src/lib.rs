//! Trained models of other frameworks to ONNX.
//!
//! [`open`] recognizes what a file or folder holds and reads it into a [`SourceModel`]. That can do
//! two things, which share nothing but the parsed file: [`SourceModel::convert`] it to ONNX, and
//! [`SourceModel::evaluate`] it by the definitions of its own framework. Whoever converts compares
//! the two ([`verify`]).
//!
//! Whatever is read is untrusted: sizes, offsets, names, nesting and code in it are checked against
//! [`Limits`] and never believed. No pickle, Lambda or script of a model is ever executed.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@recognize`] | which format it is, by content |
//! | `source` | the seam: [`SourceModel`], [`Options`], [`Conversion`] |
//! | `input` | files, read where they are asked for: the one place that does I/O |
//! | `archive` | zip files |
//! | `emitter` | ONNX graphs, node by node, with where each comes from |
//! | `pytorch` | exported programs, TorchScript, weights |
//! | `tensorflow` | SavedModel folders and frozen graphs |
//! | `reference` | arrays and plain kernels that evaluators share |
//! | `onnx` | ONNX itself |
//! | `finish` | what is done alike with every converted model |
//! | `tflite` | TensorFlow Lite |
//! | `mxnet` | MXNet's symbols and parameters |
//! | `trees` | boosted trees of XGBoost and LightGBM |
//! | [`mod@export`] | ONNX in other formats: TensorFlow Lite, SavedModel |
//! | [`verify`] | inputs to try, answers to compare |

mod archive;
mod emitter;
mod error;
pub mod export;
mod finish;
mod input;
mod keras;
mod limits;
mod mxnet;
mod onnx;
mod pytorch;
pub mod recognize;
#[allow(dead_code, reason = "a set of kernels, of which not every one has a user yet")]
mod reference;
mod source;
mod tensorflow;
mod tflite;
mod trees;
pub mod verify;

use std::path::Path;

pub use error::{ConvertError, EvaluateError, Missing};
pub use limits::Limits;
pub use recognize::Format;
pub use source::{Conversion, Options, SourceModel, Step, Tolerance, WeightType};

use crate::input::Source;

/// Reads the model at `path`, a file or a folder, whatever its format.
///
/// Errors name what was found instead: a Git LFS pointer, an HTML page, an archive of something
/// else, a damaged file.
pub fn open(
    path: &Path,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let source = Source::open(path, limits)?;
    let format = recognize::recognize(&source)?;
    (format.reader())(&source, options, limits)
}

/// Converts a model that was read: the graph of the source, cleaned and verified.
pub fn convert(source: &dyn SourceModel, options: &Options) -> Result<Conversion, ConvertError> {
    finish::finish(source.convert(options)?, options)
}

/// Names of the operators or layers of this format that are converted, sorted.
pub fn operators(format: Format) -> Vec<String> {
    let mut names = (format.vocabulary())();
    names.sort();
    names.dedup();
    names
}
