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
//! | `tolerance` | how far answers may be apart |
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
mod tolerance;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bytes::Bytes;
use modelyard_graph::{Model, weights};

use crate::{ConvertError, Limits, Missing, Step, Tolerance};

#[cfg(test)]
mod tests;

pub(crate) use graph::Facts;
pub(crate) use prepare::{Prepared, prepare};
pub(crate) use read_back::Named;
pub use read_back::read_back;

/// Under this name files say what they were compared with.
pub(crate) const VERIFIED: &str = "modelyard.verified";

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
    /// What the files say of their proof, if anything: what they were compared with, or `no`.
    pub verified: Option<String>,
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
    /// How far the answers may be from those of `model`, by output.
    pub tolerances: BTreeMap<String, Tolerance>,
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
    bounded(model, limits)?;
    let model = interface::asked_for(model.clone(), options, &mut notes)?.check()?;
    let mut source = model.clone();
    if target == Target::SavedModel {
        // Weights that are cast can be transposed while TensorFlow runs only.
        weights::widen(&mut source);
    }
    let prepared = prepare(&source, options)?;
    bounded(&prepared.model, limits)?;
    let written = write(&prepared, target)?;
    notes.extend(written.notes);
    let tolerances = tolerance::tolerances(&model, target == Target::Tflite);
    Ok(Exported { files: written.files, model, steps: written.steps, notes, tolerances })
}

/// The error that names all that is missing, in the order of the model.
pub(crate) fn unsupported(mut missing: Vec<Missing>, model: &Model) -> ConvertError {
    let nodes = model.graph.nodes.iter().enumerate();
    let places: HashMap<&str, usize> = nodes.map(|(index, node)| (node.label(), index)).collect();
    missing.sort_by_key(|one| places.get(one.place.as_str()).copied().unwrap_or(usize::MAX));
    ConvertError::Unsupported(missing)
}

/// Refuses models beyond the limits: in nodes, and in values of a size that is known before they run.
fn bounded(model: &Model, limits: &Limits) -> Result<(), ConvertError> {
    let graph = &model.graph;
    let too_large = |place: String, what, found: u64, limit: u64| {
        Err(ConvertError::TooLarge { place, what, found, limit })
    };
    if graph.nodes.len() > limits.nodes {
        let (found, limit) = (graph.nodes.len() as u64, limits.nodes as u64);
        return too_large("the graph".into(), "nodes", found, limit);
    }
    let facts = Facts::of(model);
    let names = graph.nodes.iter().flat_map(|node| &node.outputs);
    for name in graph.inputs.iter().map(|input| &input.name).chain(names) {
        let (Some(sizes), Some(element_type)) = (facts.sizes(name), facts.element_type(name))
        else {
            continue;
        };
        let bits = sizes
            .iter()
            .fold(element_type.bits() as u64, |bits, &size| bits.saturating_mul(size as u64));
        if bits / 8 > limits.tensor_bytes {
            return too_large(format!("value '{name}'"), "bytes", bits / 8, limits.tensor_bytes);
        }
    }
    Ok(())
}

/// Writes the prepared model. An error names all operators that the target lacks.
fn write(prepared: &Prepared, target: Target) -> Result<Written, ConvertError> {
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
