//! From a model file to a session of rten.

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;

use modelyard_graph::Model;
use rten::{LoadErrorKind, ModelOptions, NodeId, ThreadPool};

use super::NAME;
use super::amend::Amended;
use super::beside::Beside;
use super::session::{RtenSession, panic_message};
use super::unsupported;
use crate::{LoadError, ModelFile, Refusal};

/// Loads a model: optimized, weights prepacked.
///
/// `amended` is what rten shall see instead of the file.
pub(super) fn load(
    model_file: &ModelFile,
    amended: Amended,
    all: Arc<ThreadPool>,
) -> Result<RtenSession, LoadError> {
    let failed = |message| LoadError::Failed { engine: NAME, message };
    let signature = model_file.model.signature().map_err(|error| failed(error.to_string()))?;
    let model = catch_unwind(std::panic::AssertUnwindSafe(|| open(model_file, amended.model)))
        .unwrap_or_else(|panic| Err(failed(format!("panicked: {}", panic_message(&*panic)))))?;
    let id = |name: &str| -> Result<NodeId, LoadError> {
        model.find_node(name).ok_or_else(|| failed(format!("it lost '{name}' while loading")))
    };
    let inputs = signature.inputs.iter().map(|spec| id(&spec.name)).collect::<Result<_, _>>()?;
    let outputs = signature.outputs.iter().map(|spec| id(&spec.name)).collect::<Result<_, _>>()?;
    let loses_nan = amended.loses_nan;
    Ok(RtenSession { signature: signature.clone(), inputs, outputs, loses_nan, all, model })
}

fn open(model_file: &ModelFile, amended: Option<Model>) -> Result<rten::Model, LoadError> {
    let failed = |message| LoadError::Failed { engine: NAME, message };
    let read = |error: std::io::Error| failed(format!("cannot read it: {error}"));
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let path = &model_file.path;
    let alone = model_file.model.external_files().is_empty();
    let loaded = match amended {
        // Without holding the file and its weights at the same time.
        None if alone && is_named_onnx(path) => options.load_file(path),
        None if alone => options.load(std::fs::read(path).map_err(read)?),
        amended => {
            let mut model = amended.unwrap_or_else(|| model_file.model.clone());
            let beside = Beside::read(&mut model, path).map_err(read)?;
            if let Some((name, value)) = &beside.wide {
                let reason = format!("holds {value}, and rten's integers have 32 bits");
                let operator = "initializer".to_owned();
                let refusals = vec![Refusal { operator, node: name.clone(), reason }];
                return Err(LoadError::Refused { engine: NAME, refusals });
            }
            for (name, bytes) in beside.into_files() {
                options.external_data(&name, bytes);
            }
            options.load(model.encode())
        }
    };
    loaded.map_err(|error| match error.kind() {
        LoadErrorKind::OperatorInvalid => refused(model_file, &error),
        _ => failed(error.to_string()),
    })
}

/// rten tells formats by the names of files.
fn is_named_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
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
