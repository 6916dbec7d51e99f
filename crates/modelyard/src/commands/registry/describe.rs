//! What a manifest says of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use modelyard_engine::ModelFile;
use modelyard_graph::file;
use modelyard_registry::{About, Lineage};
use serde_json::{Map, Value};

use crate::source::check::Checked;
use crate::source::registered;

/// What commands of this program note in the model's metadata.
const PREFIX: &str = "modelyard.";
/// Of these, what was done to it to make it smaller or faster.
const OPTIMIZED: [&str; 5] =
    ["merged", "optimize_report_sha256", "optimized", "pruned", "quantized"];
/// And what it was converted from, and how that was proved.
const SOURCE: [&str; 5] = ["notes", "refused", "source", "source_file", "verified"];

/// The model's file as `model.onnx`, and the files of its external data under the names that it knows.
pub(super) fn files(model: &ModelFile) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let folder = file::folder_of(&model.path);
    let mut files = vec![("model.onnx".to_owned(), model.path.clone())];
    let mut seen = BTreeSet::new();
    for constant in model.model.constants() {
        let Some(external) = constant.external() else { continue };
        if seen.insert(external.location.as_str()) {
            let path = file::resolve(&folder, external).map_err(anyhow::Error::msg);
            let path =
                path.with_context(|| format!("failed to find weight '{}'", constant.name))?;
            files.push((external.location.clone(), path));
        }
    }
    Ok(files)
}

/// What a model takes and gives, how, and where it comes from.
pub(super) fn about(checked: &Checked) -> anyhow::Result<About> {
    let model = &checked.file.model;
    let signature = model.signature().map_err(|error| anyhow::Error::new(error.clone()))?;
    let opsets = model.opsets.iter().map(|(domain, version)| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        (domain.to_owned(), *version)
    });
    let labels = signature.outputs.iter().zip(&checked.labels).filter_map(|(output, labels)| {
        let labels = labels.as_ref()?;
        Some((output.name.clone(), labels.to_vec()))
    });
    let noted = |key: &str| model.metadata.get(&format!("{PREFIX}{key}")).map(|text| value(text));
    Ok(About {
        signature: registered::signature(signature),
        opsets: opsets.collect(),
        engine: None,
        labels: labels.collect(),
        preprocessing: noted("preprocessing"),
        metrics: BTreeMap::new(),
        lineage: Lineage {
            source: all(&SOURCE, noted),
            optimized: all(&OPTIMIZED, noted),
            training: noted("training"),
            parent: None,
        },
    })
}

fn all(keys: &[&str], noted: impl Fn(&str) -> Option<Value>) -> Option<Value> {
    let found: Map<String, Value> =
        keys.iter().filter_map(|key| Some(((*key).to_owned(), noted(key)?))).collect();
    (!found.is_empty()).then_some(Value::Object(found))
}

/// JSON as such, anything else as text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
