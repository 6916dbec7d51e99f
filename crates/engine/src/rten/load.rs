//! From a model file to a session of rten.

use std::panic::catch_unwind;
use std::sync::Arc;

use modelyard_graph::{Model, file};
use rten::{LoadErrorKind, ModelOptions, NodeId, ThreadPool};

use super::NAME;
use super::session::{RtenSession, panic_message};
use super::unsupported;
use crate::{LoadError, ModelFile};

/// Loads a model: optimized, weights prepacked.
///
/// `amended` is what rten shall see instead of the file.
pub(super) fn load(
    model_file: &ModelFile,
    amended: Option<&Model>,
    all: Arc<ThreadPool>,
) -> Result<RtenSession, LoadError> {
    let failed = |message| LoadError::Failed { engine: NAME, message };
    let signature = model_file.model.signature().map_err(|error| failed(error.to_string()))?;
    let model = catch_unwind(std::panic::AssertUnwindSafe(|| open(model_file, amended)))
        .unwrap_or_else(|panic| Err(failed(format!("panicked: {}", panic_message(&*panic)))))?;
    let id = |name: &str| -> Result<NodeId, LoadError> {
        model.find_node(name).ok_or_else(|| failed(format!("it lost '{name}' while loading")))
    };
    let inputs = signature.inputs.iter().map(|spec| id(&spec.name)).collect::<Result<_, _>>()?;
    let outputs = signature.outputs.iter().map(|spec| id(&spec.name)).collect::<Result<_, _>>()?;
    Ok(RtenSession { signature: signature.clone(), inputs, outputs, all, model })
}

fn open(model_file: &ModelFile, amended: Option<&Model>) -> Result<rten::Model, LoadError> {
    let failed = |message| LoadError::Failed { engine: NAME, message };
    let read = |error: std::io::Error| failed(format!("cannot read a file of it: {error}"));
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let path = &model_file.path;
    let named_onnx = path.extension().is_some_and(|extension| extension == "onnx");
    // rten tells formats by the name of the file, and by the bytes where there is none.
    let loaded = if named_onnx && amended.is_none() {
        options.load_file(path)
    } else {
        let folder = file::folder_of(path);
        for name in model_file.model.external_files() {
            options.external_data(name, std::fs::read(folder.join(name)).map_err(read)?);
        }
        options.load(match amended {
            Some(model) => model.encode(),
            None => std::fs::read(path).map_err(read)?,
        })
    };
    loaded.map_err(|error| match error.kind() {
        LoadErrorKind::OperatorInvalid => refused(model_file, &error),
        _ => failed(error.to_string()),
    })
}

/// Operators that rten does not have or does not take in this form: all of them, not just the
/// one that its loader stopped at.
fn refused(model_file: &ModelFile, error: &rten::LoadError) -> LoadError {
    let refusals = unsupported::refusals(&model_file.model);
    if refusals.is_empty() {
        return LoadError::Failed { engine: NAME, message: error.to_string() };
    }
    LoadError::Refused { engine: NAME, refusals }
}
