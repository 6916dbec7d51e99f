//! One `.onnx` file as a model with one version.
//!
//! Beside `net.onnx` its settings may lie as `net.toml`. A file called `model.onnx` has its
//! folder for itself, so `config.pbtxt` and `labels.txt` there belong to it too.

use std::path::Path;

use super::triton::TritonConfig;
use super::{ModelSource, VersionSource, folder, name};
use crate::config::Config;
use crate::config::layer::Layer;
use crate::config::mistake::Mistakes;

/// The model in a file.
pub(super) fn read(
    given: Option<&str>,
    path: &Path,
    config: &Config,
) -> Result<ModelSource, String> {
    let name = given.map_or_else(|| name::of_file(path), |name| Ok(name.to_owned()))?;
    let parent = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut mistakes = Mistakes::default();
    let beside = path.with_extension("toml");
    let own = match beside.is_file() {
        true => Layer::from_file(&beside, &mut mistakes),
        false => Layer::default(),
    };
    let alone = path.file_name().is_some_and(|file| file == "model.onnx");
    let pbtxt = parent.join("config.pbtxt");
    let triton = match alone && pbtxt.is_file() {
        true => TritonConfig::read(&pbtxt, &mut mistakes),
        false => TritonConfig::default(),
    };
    let labels = Some(parent.join("labels.txt")).filter(|labels| alone && labels.is_file());
    folder::refuse_unknown_keys(&own, &mut mistakes);
    let settings = config.models.settings(&name, &[&own, &triton.layer], &mut mistakes);
    let file = folder::model_file(path);
    Ok(ModelSource {
        name,
        folder: parent,
        versions: vec![VersionSource { number: 1, file }],
        settings,
        triton,
        limits: config.model_limits.clone(),
        labels_file: labels,
        mistakes,
    })
}
