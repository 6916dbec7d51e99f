//! TensorFlow Lite: one file, a FlatBuffer of tensors and operators.
//!
//! | module | does |
//! |---|---|
//! | `patterns` | several nodes that are one operator |
//! | `writer` | the model that is being written: which tensor holds which value |
//! | `operators` | operators, each with its parameters |
//! | `values`, `constants` | constants, lists, sizes as tensors |
//! | `quantized` | integers that stand for real numbers |
//! | `ops` | the operators, a file for each or for a small family |
//! | `options`, `versions` | parameters and versions of operators |
//! | `ranks`, `types` | what kernels take |
//! | `file`, `flatbuffer`, `metadata` | the file |

mod constants;
mod file;
mod flatbuffer;
mod metadata;
mod operators;
mod ops;
mod options;
mod patterns;
mod quantized;
mod ranks;
mod stop;
mod types;
mod values;
mod versions;
mod writer;

use std::path::PathBuf;

use modelyard_graph::{Model, Value};

use self::stop::Stop;
use self::writer::{Held, Writer, type_of};
use super::{ExportOptions, Prepared, VERIFIED, Written, unsupported};
use crate::{ConvertError, Missing};

/// Names of ONNX's operators that are written, sorted.
pub(super) fn operators() -> Vec<String> {
    super::lower::with_lowered(ops::names())
}

/// Writes a model.
pub(super) fn write(prepared: &Prepared) -> Result<Written, ConvertError> {
    let mut model = prepared.model.clone();
    patterns::merge(&mut model.graph, &prepared.facts);
    let mut writer = Writer::new(&model, &prepared.facts);
    for input in &model.graph.inputs {
        take(&mut writer, input);
    }
    writer.missing.clone_from(&prepared.missing);
    writer.write_nodes();
    for output in &model.graph.outputs {
        give(&mut writer, output);
    }
    if !writer.missing.is_empty() {
        return Err(unsupported(writer.missing, &prepared.model));
    }
    let steps = writer.steps();
    let notes = std::mem::take(&mut writer.notes);
    let bytes = finished(writer, &model, &prepared.options)?;
    Ok(Written { files: vec![(PathBuf::new(), bytes.into())], steps, notes })
}

/// The bytes of the file, with the labels behind them.
fn finished(
    writer: Writer<'_>,
    model: &Model,
    options: &ExportOptions,
) -> Result<Vec<u8>, ConvertError> {
    let labels = options.labels.as_slice();
    let mut file = writer.file;
    file.name.clone_from(&model.graph.name);
    file.description = "Modelyard".into();
    if let Some(verified) = &options.verified {
        file.metadata.push((VERIFIED.into(), verified.clone().into()));
    }
    if !labels.is_empty() {
        let metadata = metadata::metadata(model, labels);
        file.metadata.push(("TFLITE_METADATA".into(), metadata.into()));
    }
    let bytes = file.write().ok_or_else(|| {
        let message = "the model has more than 2 GB, which is more than a TensorFlow Lite file holds; \
                       quantize it, or export a SavedModel";
        ConvertError::Option(message.into())
    })?;
    match labels {
        [] => Ok(bytes),
        labels => metadata::with_labels(bytes, labels),
    }
}

/// An input of the model.
fn take(writer: &mut Writer<'_>, input: &Value) {
    let Some((element_type, _)) = input.value_type.as_tensor() else {
        return refuse(writer, &input.name, "an input that is no tensor");
    };
    let type_code = match type_of(element_type) {
        Ok(code) => code,
        Err(Stop { reason, .. }) => return refuse(writer, &input.name, &reason),
    };
    let Some(dims) = writer.dims_of(&input.name) else {
        return refuse(writer, &input.name, "an input of any number of dimensions");
    };
    let name = input.name.clone();
    let tensor =
        file::Tensor { name: name.clone(), type_code, dims, elements: None, quantization: None };
    let id = writer.add_tensor(tensor);
    writer.file.inputs.push((id, name.clone()));
    writer.values.insert(name, Held { plain: Some(id), ..Held::default() });
}

/// An output of the model.
fn give(writer: &mut Writer<'_>, output: &Value) {
    match writer.model_output(&output.name) {
        Ok(id) => writer.file.outputs.push((id, output.name.clone())),
        Err(Stop { reason, .. }) => refuse(writer, &output.name, &reason),
    }
}

fn refuse(writer: &mut Writer<'_>, name: &str, reason: &str) {
    writer.missing.push(Missing {
        operator: "the model".into(),
        place: name.to_owned(),
        reason: reason.to_owned(),
        way_out: "change it where the model was trained".into(),
    });
}
