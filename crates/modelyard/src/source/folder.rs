//! A model folder in Triton's layout: `<model>/<version>/model.onnx`, with `model.toml`,
//! `config.pbtxt` and `labels.txt` beside the versions where they are wanted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::triton::TritonConfig;
use super::{Given, ModelSource, VersionSource, given};
use crate::config::key::refuse_unknown;
use crate::config::layer::Layer;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::model::{self, VersionPolicy};
use crate::config::{Config, Place};

/// The file in a version folder, unless `config.pbtxt` says otherwise.
const MODEL_FILE: &str = "model.onnx";

/// The model in a folder.
pub(super) fn read(
    name: &str,
    path: &Path,
    given: Option<Arc<Given>>,
    config: &Config,
) -> ModelSource {
    let mut mistakes = Mistakes::default();
    let toml = path.join("model.toml");
    let own = match toml.is_file() {
        true => Layer::from_file(&toml, &mut mistakes),
        false => Layer::default(),
    };
    refuse_unknown_keys(&own, &mut mistakes);
    let pbtxt = Some(path.join("config.pbtxt")).filter(|pbtxt| pbtxt.is_file());
    let triton = given::triton(given.as_deref(), pbtxt.as_deref(), &mut mistakes);
    refuse_other_name(name, path, &triton, &mut mistakes);
    let layers = given::layers(given.as_deref(), &own, &triton);
    let settings = config.models.settings(name, &layers, &mut mistakes);
    let file_name = triton.default_model_filename.as_deref().unwrap_or(MODEL_FILE);
    let versions = versions(path, file_name, &settings.version_policy, &mut mistakes);
    let labels = Some(path.join("labels.txt")).filter(|labels| labels.is_file());
    ModelSource {
        versions,
        triton,
        labels_file: labels,
        given,
        mistakes,
        ..ModelSource::new(name, path.to_owned(), settings, config)
    }
}

/// Notes keys that `model.toml` does not have.
pub(crate) fn refuse_unknown_keys(own: &Layer, mistakes: &mut Mistakes) {
    let names = model::ALL.iter().map(|key| key.name()).filter(|key| *key != "path");
    refuse_unknown(own, &names.collect::<Vec<_>>(), mistakes);
}

/// As in Triton, a name in `config.pbtxt` must be that of the folder.
fn refuse_other_name(name: &str, path: &Path, triton: &TritonConfig, mistakes: &mut Mistakes) {
    let folder = path.file_name().map(|folder| folder.to_string_lossy());
    if let Some((said, place)) = &triton.name
        && !said.is_empty()
        && said != name
        && folder.is_none_or(|folder| folder != said.as_str())
    {
        let expected = format!("the name of the model's folder, '{name}'");
        mistakes.push(Mistake::value(place.clone(), "name", said.clone(), &expected));
    }
}

/// The versions in a folder that the policy asks for, ascending.
fn versions(
    path: &Path,
    file_name: &str,
    policy: &VersionPolicy,
    mistakes: &mut Mistakes,
) -> Vec<VersionSource> {
    let place = Place::File { path: path.to_owned(), line: None };
    let mut numbers = match version_numbers(path) {
        Ok(numbers) => numbers,
        Err(error) => {
            mistakes.push(Mistake::general(place, format!("failed to read: {error}")));
            return Vec::new();
        }
    };
    if numbers.is_empty() {
        let message = format!("expected a version folder such as '1/{file_name}', found none");
        mistakes.push(Mistake::general(place, message));
    }
    match policy {
        VersionPolicy::All => {}
        VersionPolicy::Latest(count) => {
            numbers.drain(..numbers.len().saturating_sub(*count));
        }
        VersionPolicy::Specific(wanted) => {
            numbers.clone_from(wanted);
            numbers.sort_unstable();
            numbers.dedup();
        }
    }
    let version = |number: u64| {
        let folder = path.join(number.to_string());
        VersionSource::of_file(number, model_file(&folder.join(file_name)), Some(folder))
    };
    numbers.into_iter().map(version).collect()
}

/// Folders whose names are version numbers; others are passed over, as Triton does.
fn version_numbers(path: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.parse().ok().filter(|number: &u64| *number > 0);
        // `01` and `1` would be the same version.
        let number = number.filter(|number| number.to_string() == name);
        numbers.extend(number.filter(|_| entry.path().is_dir()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of a model. Where it is a folder, the file lies in it, beside its external data.
pub(super) fn model_file(path: &Path) -> Result<PathBuf, Mistake> {
    let missing = |path: &Path| {
        let place = Place::File { path: path.to_owned(), line: None };
        Mistake::general(place, "there is no such model file")
    };
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        return Err(missing(path));
    }
    let inside = path.join(MODEL_FILE);
    inside.is_file().then(|| inside.clone()).ok_or_else(|| missing(&inside))
}
