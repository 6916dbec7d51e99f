//! ONNX models to other formats: [`export`].
//!
//! A model is brought to one form first, which all targets start from (`prepare`): one version of
//! the operators, functions put in, constants folded, composite operators taken apart (`lower`),
//! images with their channels last (`layout`). What is left is written operator by operator.
//!
//! | module | holds |
//! |---|---|
//! | `graph` | a graph on its way: what is known of its values, and how it is written anew |
//! | `interface` | inputs and outputs as they were asked for |
//! | `prepare` | the one form |
//! | `read_back` | what was written, read back |
//! | `lower` | operators that no target has, as those that they have |
//! | `layout` | channels last |
//! | `tflite` | the writer of TensorFlow Lite |
//! | `saved_model` | the writer of SavedModels |

pub(crate) mod graph;
mod interface;
mod layout;
mod lower;
mod prepare;
mod read_back;
mod saved_model;
mod tflite;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use modelyard_graph::{Model, weights};

use crate::{ConvertError, Limits, Step, Tolerance};

#[cfg(test)]
mod tests;

pub(crate) use graph::Facts;
pub(crate) use prepare::{Prepared, prepare};
pub use read_back::read_back;

/// A format that models are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// TensorFlow Lite: one file.
    Tflite,
    /// TensorFlow's SavedModel: a folder.
    SavedModel,
}

impl Target {
    /// What to call it.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Tflite => "TensorFlow Lite model",
            Target::SavedModel => "TensorFlow SavedModel",
        }
    }
}

/// What the caller wants of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Whether inputs and outputs that are images (3 to 5 dimensions) are taken and given with
    /// their channels last. Otherwise they have the shapes that they have in the ONNX model.
    pub channels_last: bool,
    /// Size of the first dimension of inputs, where that is open; open if absent.
    pub batch: Option<usize>,
    /// Class names, which the target carries where it can.
    pub labels: Vec<String>,
}

/// A model in another format.
#[derive(Debug)]
pub struct Exported {
    /// Relative paths and contents; a target of one file has an empty path.
    pub files: Vec<(PathBuf, Bytes)>,
    /// The ONNX model that the files are to agree with: the one that was given, with the inputs and
    /// outputs that were asked for.
    pub model: Model,
    /// What became of each node, once the model was brought to the form that is written.
    pub steps: Vec<Step>,
    /// What the reader should know: approximations, sizes that were fixed.
    pub notes: Vec<String>,
    /// How far the answers may be from those of `model`.
    pub tolerance: Tolerance,
}

impl Exported {
    /// How many operators of each kind the target has.
    pub fn operators(&self) -> BTreeMap<&str, usize> {
        let mut operators = BTreeMap::new();
        for operator in self.steps.iter().flat_map(|step| &step.nodes) {
            *operators.entry(operator.as_str()).or_default() += 1;
        }
        operators
    }
}

/// What a writer of a format gives.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// As in [`Exported::files`].
    pub(crate) files: Vec<(PathBuf, Bytes)>,
    /// As in [`Exported::steps`].
    pub(crate) steps: Vec<Step>,
    /// As in [`Exported::notes`].
    pub(crate) notes: Vec<String>,
}

/// Writes a model in another format. An error names all operators that have no counterpart.
pub fn export(
    model: &Model,
    target: Target,
    options: &ExportOptions,
    limits: &Limits,
) -> Result<Exported, ConvertError> {
    let mut notes = Vec::new();
    let model = interface::asked_for(model.clone(), options, &mut notes)?.check()?;
    let mut source = model.clone();
    if target == Target::SavedModel {
        // Weights that are cast can be transposed while TensorFlow runs only.
        weights::widen(&mut source);
    }
    let prepared = prepare(&source, options)?;
    let written = write(&prepared, target, limits)?;
    notes.extend(written.notes);
    // SavedModels round as ONNX says.
    let tolerance = match target {
        Target::Tflite => prepared.tolerance,
        Target::SavedModel => Tolerance { relative: 1e-4, ..prepared.tolerance },
    };
    Ok(Exported { files: written.files, model, steps: written.steps, notes, tolerance })
}

/// Writes the prepared model. An error names all operators that the target lacks.
fn write(prepared: &Prepared, target: Target, _: &Limits) -> Result<Written, ConvertError> {
    match target {
        Target::Tflite => tflite::write(prepared),
        Target::SavedModel => saved_model::write(prepared),
    }
}

/// Operators of ONNX that are written for a target, sorted.
pub fn operators(target: Target) -> Vec<String> {
    match target {
        Target::Tflite => tflite::operators(),
        Target::SavedModel => saved_model::operators(),
    }
}
