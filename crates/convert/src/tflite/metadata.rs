//! Metadata that tools append: a flatbuffer of its own in a buffer of the model, and files in a zip
//! archive behind it. Labels of classes and the normalization of inputs are read from it.

use serde_json::{Value, json};

use super::flatbuffer::{File, Table};
use super::model::Model;
use crate::ConvertError;
use crate::archive::Archive;
use crate::input::Input;

const FORMAT: &str = "TensorFlow Lite metadata";

/// Kinds of associated files that hold a label a line: of the positions along an axis, or of values.
const LABEL_FILES: [u8; 2] = [2, 3];

/// The kind of process unit that normalizes.
const NORMALIZATION: u8 = 1;

/// Labels of classes, one a line in a file that belongs to an output; empty without.
pub(crate) fn labels(model: &Model) -> Result<Vec<String>, ConvertError> {
    let Some(graph) = graph(model)? else { return Ok(Vec::new()) };
    for tensor in graph.tables(3)? {
        for file in tensor.tables(6)? {
            if LABEL_FILES.contains(&file.u8(2)?)
                && let Some(name) = file.string(0)?
            {
                return file_lines(model, &name);
            }
        }
    }
    Ok(Vec::new())
}

/// How inputs are to be normalized, as JSON: `(x - mean) / std`, by input; `None` where nothing is
/// said.
pub(crate) fn preprocessing(model: &Model) -> Result<Option<String>, ConvertError> {
    let Some(graph) = graph(model)? else { return Ok(None) };
    let mut inputs = Vec::new();
    for (index, tensor) in graph.tables(2)?.iter().enumerate() {
        for unit in tensor.tables(4)? {
            let Some(options) = unit.table(1)?.filter(|_| unit.u8(0).ok() == Some(NORMALIZATION))
            else {
                continue;
            };
            inputs.push(json!({
                "input": index,
                "name": tensor.string(0)?.unwrap_or_default(),
                "mean": options.f32s(0)?.unwrap_or_default(),
                "std": options.f32s(1)?.unwrap_or_default(),
            }));
        }
    }
    let is_empty = inputs.is_empty();
    Ok((!is_empty).then(|| json!({ "normalize": Value::Array(inputs) }).to_string()))
}

/// The metadata of the first graph.
fn graph(model: &Model) -> Result<Option<Table>, ConvertError> {
    let Some(&buffer) = model.metadata.get("TFLITE_METADATA") else { return Ok(None) };
    let bytes = model.buffer(buffer)?;
    let root = File::root(&Input::memory(FORMAT, bytes), FORMAT, &model.limits)?;
    Ok(root.tables(3)?.into_iter().next())
}

/// The lines of a file in the archive that follows the model; empty where there is none.
fn file_lines(model: &Model, name: &str) -> Result<Vec<String>, ConvertError> {
    let Ok(archive) = Archive::open(&model.input, FORMAT, &model.limits) else {
        return Ok(Vec::new());
    };
    if !archive.contains(name) {
        return Ok(Vec::new());
    }
    let text = archive.read_text(name)?;
    // An empty line is a class without a name; the end of the file is none.
    Ok(text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
}
