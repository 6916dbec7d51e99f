//! One `.onnx` file as a model with one version.
//!
//! Beside `net.onnx` its settings may lie as `net.toml`. A file called `model.onnx` has its
//! folder for itself, so `config.pbtxt` and `labels.txt` there belong to it too.

use std::path::Path;
use std::sync::Arc;

use super::{Given, ModelSource, VersionSource, folder, given};
use crate::config::Config;
use crate::config::layer::Layer;
use crate::config::mistake::Mistakes;

/// The model in a file.
pub(super) fn read(
    name: &str,
    path: &Path,
    given: Option<Arc<Given>>,
    config: &Config,
) -> ModelSource {
    let parent = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut mistakes = Mistakes::default();
    let beside = path.with_extension("toml");
    let own = match beside.is_file() {
        true => Layer::from_file(&beside, &mut mistakes),
        false => Layer::default(),
    };
    let alone = path.file_name().is_some_and(|file| file == "model.onnx");
    let pbtxt = parent.join("config.pbtxt");
    let pbtxt = Some(pbtxt).filter(|pbtxt| alone && pbtxt.is_file());
    let triton = given::triton(given.as_deref(), pbtxt.as_deref(), &mut mistakes);
    let labels = Some(parent.join("labels.txt")).filter(|labels| alone && labels.is_file());
    folder::refuse_unknown_keys(&own, &mut mistakes);
    let layers = given::layers(given.as_deref(), &own, &triton);
    let settings = config.models.settings(name, &layers, &mut mistakes);
    let file = folder::model_file(path);
    ModelSource {
        versions: vec![VersionSource::of_file(1, file, None)],
        triton,
        labels_file: labels,
        settings_file: Some(beside),
        given,
        mistakes,
        ..ModelSource::new(name, parent, settings, config)
    }
}
