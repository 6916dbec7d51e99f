//! Names of classes: from the settings, `config.pbtxt`, `labels.txt` or the ONNX file itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use modelyard_serving::Labels;
use modelyard_tensor::{Dim, Signature, TensorSpec};

use super::{ModelSource, VersionSource, registered};
use crate::config::Place;
use crate::config::layer::read_text;
use crate::config::mistake::{Mistake, Mistakes};

/// Keys of ONNX metadata under which exporters leave class names.
pub(crate) const METADATA_KEYS: [&str; 4] = ["labels", "classes", "class_names", "names"];

/// The class names of each output. Those that cannot be right are noted.
pub(super) fn labels(
    (source, version): (&ModelSource, &VersionSource),
    signature: &Signature,
    metadata: &BTreeMap<String, String>,
    mistakes: &mut Mistakes,
) -> Labels {
    let mut labels: Labels = vec![None; signature.outputs.len()];
    for declared in &source.triton.outputs {
        let (Some(file), Some(output)) =
            (&declared.label_filename, signature.output_index(&declared.name))
        else {
            continue;
        };
        let path = source.folder.join(file);
        labels[output] = from_file(&path, &signature.outputs[output], mistakes);
    }
    if labels.iter().any(Option::is_some) {
        return labels;
    }
    if let Some(registered) = &version.registered
        && source.settings.labels.is_empty()
        && source.settings.label_filename.is_none()
    {
        return registered::labels(&registered.manifest, signature, mistakes);
    }
    let Some(output) = class_output(signature) else { return labels };
    labels[output] = for_one(source, &signature.outputs[output], metadata, mistakes);
    labels
}

fn for_one(
    source: &ModelSource,
    output: &TensorSpec,
    metadata: &BTreeMap<String, String>,
    mistakes: &mut Mistakes,
) -> Option<Arc<[String]>> {
    let settings = &source.settings;
    if !settings.labels.is_empty() {
        let place = Place::File { path: source.folder.join("model.toml"), line: None };
        return fitting(settings.labels.clone(), output, place, mistakes);
    }
    let named = settings.label_filename.as_ref().map(|file| source.folder.join(file));
    if let Some(path) = named.as_deref().or(source.labels_file.as_deref()) {
        return from_file(path, output, mistakes);
    }
    // What an exporter left behind is a hint, not a statement: it is used where it fits.
    let found = of_metadata(metadata);
    found.filter(|labels| classes(output) == Some(labels.len())).map(Arc::from)
}

/// The output that classes are told by: the only one, or the first with a fixed number of them.
fn class_output(signature: &Signature) -> Option<usize> {
    match signature.outputs.len() {
        1 => Some(0),
        _ => signature.outputs.iter().position(|output| classes(output).is_some()),
    }
}

/// How many classes an output tells apart, where its shape says so.
fn classes(output: &TensorSpec) -> Option<usize> {
    match output.dims.as_ref()?.last()? {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) | Dim::Free => None,
    }
}

fn from_file(path: &Path, output: &TensorSpec, mistakes: &mut Mistakes) -> Option<Arc<[String]>> {
    let place = Place::File { path: path.to_owned(), line: None };
    match read_text(path) {
        Ok(text) => {
            let labels = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
            fitting(labels, output, place, mistakes)
        }
        Err(message) => {
            mistakes.push(Mistake::general(place, message));
            None
        }
    }
}

/// Class names, if there are as many as the output has classes.
pub(super) fn fitting(
    labels: Vec<String>,
    output: &TensorSpec,
    place: Place,
    mistakes: &mut Mistakes,
) -> Option<Arc<[String]>> {
    if let Some(classes) = classes(output)
        && classes != labels.len()
    {
        let (found, name) = (labels.len(), &output.name);
        let message = format!("expected {classes} labels for output '{name}', found {found}");
        mistakes.push(Mistake::general(place, message));
        return None;
    }
    Some(labels.into())
}

/// The class names of each output of a model that is by itself, as its exporter left them.
pub(crate) fn of_model(signature: &Signature, metadata: &BTreeMap<String, String>) -> Labels {
    let mut labels: Labels = vec![None; signature.outputs.len()];
    if let Some(output) = class_output(signature) {
        let fits = |labels: &Vec<String>| classes(&signature.outputs[output]) == Some(labels.len());
        labels[output] = of_metadata(metadata).filter(fits).map(Arc::from);
    }
    labels
}

/// The class names that an exporter left in a model's metadata: a JSON list, a JSON object from class
/// number to name, or one name a line.
pub(crate) fn of_metadata(metadata: &BTreeMap<String, String>) -> Option<Vec<String>> {
    METADATA_KEYS.iter().find_map(|key| from_metadata(metadata.get(*key)?))
}

fn from_metadata(text: &str) -> Option<Vec<String>> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return Some(list);
    }
    if let Ok(map) = serde_json::from_str::<BTreeMap<usize, String>>(text) {
        let dense = map.keys().copied().eq(0..map.len());
        return dense.then(|| map.into_values().collect());
    }
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    (lines.len() > 1).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_forms() {
        let expected = Some(vec!["cat".to_owned(), "dog".to_owned()]);
        for text in ["[\"cat\", \"dog\"]", "{\"1\": \"dog\", \"0\": \"cat\"}", "cat\ndog\n"] {
            assert_eq!(from_metadata(text), expected, "{text}");
        }
        for text in ["", "cat", "{\"1\": \"dog\"}", "[1, 2]"] {
            assert_eq!(from_metadata(text), None, "{text}");
        }
    }
}
