//! What `--input` says, as the tensors that a model takes.

use std::path::Path;

use ::image::DynamicImage;
use anyhow::{Context, anyhow, bail};
use modelyard_tensor::{DataType, Shape, Signature, Tensor, TensorSpec};
use serde_json::{Map, Value};

use crate::tensors::{fit, image, json, npy, npz, read_file};

/// One `--input`: what it holds, and the input it is for where that was said.
struct Source {
    name: Option<String>,
    /// As the user wrote it, for messages.
    text: String,
    content: Content,
}

enum Content {
    Tensor(Tensor),
    Named(Vec<(String, Tensor)>),
    Picture(DynamicImage),
    Json(Value),
}

/// The inputs of a model, in its order, from all `--input` arguments.
pub(crate) fn read(
    arguments: &[String],
    signature: &Signature,
    invert: bool,
) -> anyhow::Result<Vec<Tensor>> {
    let sources = arguments.iter().map(|argument| source(argument));
    assign(sources.collect::<anyhow::Result<Vec<Source>>>()?, signature, invert)
}

/// `[NAME=]FILE`, `[NAME=]-` or `[NAME=]JSON`.
fn source(argument: &str) -> anyhow::Result<Source> {
    let (name, text) = split(argument);
    let content = if is_json(text) {
        Content::Json(parse(text.as_bytes())?)
    } else {
        content(&read_file(Path::new(text))?).with_context(|| format!("failed to use '{text}'"))?
    };
    let text = if is_json(text) { "the JSON".to_owned() } else { format!("'{text}'") };
    Ok(Source { name: name.map(str::to_owned), text, content })
}

/// The name before `=`, unless that is part of JSON or of a file's name.
fn split(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once('=') {
        Some((name, rest)) if !is_json(argument) && !Path::new(argument).exists() => {
            (Some(name), rest)
        }
        _ => (None, argument),
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// What a file holds, by its first bytes.
fn content(file: &[u8]) -> anyhow::Result<Content> {
    Ok(if file.starts_with(b"\x93NUMPY") {
        Content::Tensor(npy::read(file)?)
    } else if file.starts_with(b"PK\x03\x04") {
        Content::Named(npz::read(file)?)
    } else if image::is_image(file) {
        Content::Picture(image::read(file)?)
    } else {
        let json = parse(file);
        Content::Json(json.context("it is neither .npy, .npz, PNG, JPEG, PGM nor JSON")?)
    })
}

fn parse(text: &[u8]) -> anyhow::Result<Value> {
    json::parse(text).context("the JSON is not valid")
}

fn assign(
    sources: Vec<Source>,
    signature: &Signature,
    invert: bool,
) -> anyhow::Result<Vec<Tensor>> {
    let mut slots: Vec<Option<Tensor>> = vec![None; signature.inputs.len()];
    for source in sources {
        let text = source.text.clone();
        let tensors = tensors(source, signature, invert)
            .with_context(|| format!("failed to make inputs of {text}"))?;
        for (index, tensor) in tensors {
            if slots[index].replace(tensor).is_some() {
                bail!("input '{}' is given twice", signature.inputs[index].name);
            }
        }
    }
    let missing: Vec<&str> = signature
        .inputs
        .iter()
        .zip(&slots)
        .filter(|(_, slot)| slot.is_none())
        .map(|(spec, _)| spec.name.as_str())
        .collect();
    if !missing.is_empty() {
        bail!("no input given for '{}' (--input NAME=...)", missing.join("', '"));
    }
    Ok(slots.into_iter().flatten().collect())
}

/// The inputs, by position, that one source holds.
fn tensors(
    source: Source,
    signature: &Signature,
    invert: bool,
) -> anyhow::Result<Vec<(usize, Tensor)>> {
    let index = |name: &str| {
        signature.input_index(name).ok_or_else(|| {
            anyhow!("the model has no input '{name}', it takes {}", names(signature))
        })
    };
    let target = || match (&source.name, signature.inputs.as_slice()) {
        (Some(name), _) => index(name),
        (None, [_]) => Ok(0),
        (None, _) => {
            Err(anyhow!("say which input it is (--input NAME=...), of {}", names(signature)))
        }
    };
    match source.content {
        Content::Tensor(tensor) => one(target()?, signature, |spec| fit::fit(tensor, spec)),
        Content::Picture(picture) => {
            one(target()?, signature, |spec| image::tensor(&picture, spec, invert))
        }
        Content::Json(value) if source.name.is_some() || !value.is_object() => {
            one(target()?, signature, |spec| nested(&value, spec))
        }
        Content::Json(Value::Object(object)) => named_json(&object, signature, index),
        Content::Json(_) => bail!("expected a JSON object or array"),
        Content::Named(mut arrays) => match (&source.name, arrays.len()) {
            // One array for one input: its name (`arr_0`, say) does not matter.
            (None, 1) if signature.inputs.len() == 1 => {
                let (_, tensor) = arrays.remove(0);
                one(0, signature, |spec| fit::fit(tensor, spec))
            }
            (None, _) => arrays
                .into_iter()
                .map(|(name, tensor)| {
                    let index = index(&name)?;
                    Ok((index, fit::fit(tensor, &signature.inputs[index])?))
                })
                .collect(),
            (Some(_), _) => bail!("a .npz file names its arrays itself: leave NAME= out"),
        },
    }
}

fn one(
    index: usize,
    signature: &Signature,
    make: impl FnOnce(&TensorSpec) -> anyhow::Result<Tensor>,
) -> anyhow::Result<Vec<(usize, Tensor)>> {
    Ok(vec![(index, make(&signature.inputs[index])?)])
}

/// Nested arrays as the input `spec`.
fn nested(value: &Value, spec: &TensorSpec) -> anyhow::Result<Tensor> {
    let tensor = json::tensor(value, spec.data_type)
        .with_context(|| format!("input '{}' is wrong", spec.name))?;
    fit::fit(tensor, spec)
}

/// The forms a request body may have: `{"NAME": ...}`, `{"instances": [...]}`, and `{"inputs":
/// ...}` by name or as the tensors of the Open Inference Protocol.
fn named_json(
    object: &Map<String, Value>,
    signature: &Signature,
    index: impl Fn(&str) -> anyhow::Result<usize>,
) -> anyhow::Result<Vec<(usize, Tensor)>> {
    let by_name = |object: &Map<String, Value>| {
        let named = object.iter().map(|(name, value)| {
            let index = index(name)?;
            Ok((index, nested(value, &signature.inputs[index])?))
        });
        named.collect::<anyhow::Result<Vec<(usize, Tensor)>>>()
    };
    if object.keys().all(|key| signature.input_index(key).is_some()) {
        return by_name(object);
    }
    match (object.get("inputs"), object.get("instances")) {
        (Some(Value::Array(tensors)), None) => {
            tensors.iter().map(|tensor| protocol_tensor(tensor, signature, &index)).collect()
        }
        (Some(Value::Object(inputs)), None) => by_name(inputs),
        (None, Some(Value::Array(instances))) => instances_json(instances, signature, by_name),
        _ => by_name(object),
    }
}

/// Rows of the one input, or objects with one row of each input.
fn instances_json(
    instances: &[Value],
    signature: &Signature,
    by_name: impl Fn(&Map<String, Value>) -> anyhow::Result<Vec<(usize, Tensor)>>,
) -> anyhow::Result<Vec<(usize, Tensor)>> {
    if let [spec] = signature.inputs.as_slice()
        && !instances.iter().any(Value::is_object)
    {
        let rows = Value::Array(instances.to_vec());
        return Ok(vec![(0, nested(&rows, spec)?)]);
    }
    let mut columns: Map<String, Value> = Map::new();
    for (row, instance) in instances.iter().enumerate() {
        let instance = instance.as_object();
        let instance = instance.with_context(|| format!("instance {row} is no object"))?;
        for (name, value) in instance {
            let column = columns.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(column) = column {
                if column.len() != row {
                    bail!("input '{name}' is missing in instance {}", column.len());
                }
                column.push(value.clone());
            }
        }
    }
    let short = columns.iter().find(|(_, column)| {
        column.as_array().is_some_and(|column| column.len() != instances.len())
    });
    if let Some((name, _)) = short {
        bail!("input '{name}' is missing in some instances");
    }
    by_name(&columns)
}

/// `{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [...]}`.
fn protocol_tensor(
    value: &Value,
    signature: &Signature,
    index: impl Fn(&str) -> anyhow::Result<usize>,
) -> anyhow::Result<(usize, Tensor)> {
    let name = value.get("name").and_then(Value::as_str);
    let index = index(name.context("a tensor under \"inputs\" has no \"name\"")?)?;
    let spec = &signature.inputs[index];
    let missing = |field| format!("input '{}' has no \"{field}\"", spec.name);
    let data_type = value.get("datatype").and_then(Value::as_str);
    let data_type: DataType = data_type.with_context(|| missing("datatype"))?.parse()?;
    let data = value.get("data").with_context(|| missing("data"))?;
    let shape = value.get("shape").and_then(Value::as_array).with_context(|| missing("shape"))?;
    let shape: Option<Shape> =
        shape.iter().map(|dim| dim.as_u64().and_then(|dim| usize::try_from(dim).ok())).collect();
    let shape = shape.with_context(|| format!("input '{}' has a wrong \"shape\"", spec.name))?;
    let tensor = json::tensor(data, data_type)
        .with_context(|| format!("input '{}' is wrong", spec.name))?
        .reshaped(shape)
        .with_context(|| format!("input '{}' is wrong", spec.name))?;
    Ok((index, fit::fit(tensor, spec)?))
}

fn names(signature: &Signature) -> String {
    let names: Vec<String> =
        signature.inputs.iter().map(|spec| format!("'{}'", spec.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
