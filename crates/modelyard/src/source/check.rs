//! Reads a version's ONNX file and checks it against what is said about it.

use modelyard_engine::ModelFile;
use modelyard_graph::{ReadError, file};
use modelyard_serving::Labels;
use modelyard_tensor::Signature;

use super::{ModelSource, VersionSource, labels, registered, triton};
use crate::config::Place;
use crate::config::mistake::{Mistake, Mistakes};

/// A version that may be loaded.
pub(crate) struct Checked {
    /// The file.
    pub(crate) file: ModelFile,
    /// Class names of its outputs.
    pub(crate) labels: Labels,
}

/// Reads and checks one version. Everything wrong is reported, the model's own mistakes included.
pub(crate) fn check(source: &ModelSource, version: &VersionSource) -> Result<Checked, Mistakes> {
    let mut mistakes = source.mistakes.clone();
    let path = match &version.file {
        Ok(path) => path,
        Err(mistake) => {
            mistakes.push(mistake.clone());
            return Err(mistakes);
        }
    };
    let place = Place::File { path: path.clone(), line: None };
    let model = match file::read_file(path, &source.limits) {
        Ok(model) => model,
        Err(error) => {
            note_read_error(&error, &place, &mut mistakes);
            return Err(mistakes);
        }
    };
    let signature = match model.signature() {
        Ok(signature) => signature,
        Err(error) => {
            mistakes.push(Mistake::general(place, error.to_string()));
            return Err(mistakes);
        }
    };
    triton::check_signature(&source.triton, signature, &mut mistakes);
    if let Some(registered) = &version.registered {
        let stated = &registered.manifest.about.signature;
        registered::check_signature(stated, signature, &place, &mut mistakes);
    }
    check_batches(source, signature, place, &mut mistakes);
    let labels = labels::labels((source, version), signature, &model.metadata, &mut mistakes);
    let file = ModelFile { path: path.clone(), model };
    mistakes.or(Checked { file, labels })
}

/// Every problem of an invalid file is a mistake of its own.
fn note_read_error(error: &ReadError, place: &Place, mistakes: &mut Mistakes) {
    if let ReadError::Invalid(problems) = error {
        let notes = problems.iter();
        let notes = notes.map(|problem| Mistake::general(place.clone(), problem.to_string()));
        mistakes.0.extend(notes);
        return;
    }
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    mistakes.push(Mistake::general(place.clone(), message));
}

fn check_batches(
    source: &ModelSource,
    signature: &Signature,
    place: Place,
    mistakes: &mut Mistakes,
) {
    let Some(size) = source.settings.serving.batching.max_batch_size.filter(|size| *size > 1)
    else {
        return;
    };
    if !signature.has_batch_dimension() {
        let shapes = signature.inputs.iter().chain(&signature.outputs);
        let shapes: Vec<String> =
            shapes.map(|spec| format!("{} {}", spec.name, spec.shape_text())).collect();
        let message = format!(
            "max_batch_size = {size}, but not every input and output has a free first dimension: \
             {}; expected max_batch_size 0 or 1",
            shapes.join(", ")
        );
        mistakes.push(Mistake::general(place, message));
    }
}
