//! Where models come from: files, model folders, repositories.
//!
//! A [`ModelSource`] is what is known before anything is loaded: the name, the versions to serve,
//! the settings, and every mistake in them. A mistake in one model is kept with that model, so
//! that the others serve.

pub(crate) mod check;
mod file;
mod folder;
pub(crate) mod labels;
mod name;
mod pbtxt;
mod triton;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use modelyard_graph::Limits;

use crate::config::mistake::{Mistake, Mistakes};
use crate::config::{Config, ModelSettings, Place};
pub(crate) use modelyard_registry::check_model_name as validate_name;
use triton::TritonConfig;

/// Most models in one repository.
const MAX_MODELS: usize = 10_000;
/// What file systems put into their root, which is often a repository's volume.
const LOST_AND_FOUND: &str = "lost+found";

/// One model before it is loaded.
#[derive(Debug)]
pub(crate) struct ModelSource {
    /// Its name.
    pub(crate) name: String,
    /// Where it lies: the folder that `labels.txt` and the like are relative to.
    pub(crate) folder: PathBuf,
    /// The versions to serve, ascending.
    pub(crate) versions: Vec<VersionSource>,
    /// How to serve it.
    pub(crate) settings: ModelSettings,
    /// What lies beside it in `config.pbtxt`.
    pub(crate) triton: TritonConfig,
    /// How large its files may be.
    pub(crate) limits: Limits,
    /// `labels.txt` beside it.
    pub(crate) labels_file: Option<PathBuf>,
    /// What stands against serving it.
    pub(crate) mistakes: Mistakes,
}

/// One version of a model.
#[derive(Debug)]
pub(crate) struct VersionSource {
    /// Its number.
    pub(crate) number: u64,
    /// Its file; or why there is none.
    pub(crate) file: Result<PathBuf, Mistake>,
}

/// All models that the arguments (`PATH` or `NAME=PATH`) and the configuration name.
pub(crate) fn find(arguments: &[String], config: &Config) -> Result<Vec<ModelSource>, Mistakes> {
    let mut mistakes = Mistakes::default();
    let models = find_all(arguments, config, &mut mistakes);
    mistakes.or(models)
}

/// The same, going on after mistakes, so that more can be found.
pub(crate) fn find_all(
    arguments: &[String],
    config: &Config,
    mistakes: &mut Mistakes,
) -> Vec<ModelSource> {
    let mut models: BTreeMap<String, ModelSource> = BTreeMap::new();
    let mut add = |place: Place, source: ModelSource, mistakes: &mut Mistakes| {
        if let Some(other) = models.get(&source.name) {
            let (name, other) = (&source.name, other.folder.display());
            let message = format!("model '{name}' is there already, from '{other}'");
            mistakes.push(Mistake::general(place, message));
        } else {
            models.insert(source.name.clone(), source);
        }
    };
    for argument in arguments {
        let place = Place::Flag(argument.clone());
        let (name, path) = split_argument(argument);
        match one(name, path, config) {
            Ok(source) => add(place, source, mistakes),
            Err(message) => mistakes.push(Mistake::general(place, message)),
        }
    }
    for (name, path) in &config.listed_models {
        let place = Place::Flag(format!("models.{name}.path"));
        match one(Some(name), path, config) {
            Ok(source) => add(place, source, mistakes),
            Err(message) => mistakes.push(Mistake::general(place, message)),
        }
    }
    for repository in &config.repositories {
        let place = Place::File { path: repository.clone(), line: None };
        match scan(repository, config) {
            Ok(sources) => {
                for source in sources {
                    add(place.clone(), source, mistakes);
                }
            }
            Err(message) => mistakes.push(Mistake::general(place, message)),
        }
    }
    models.into_values().collect()
}

/// What is wrong with repositories that gave none of the models.
pub(crate) fn empty_repositories(models: &[ModelSource], config: &Config) -> Vec<Mistake> {
    let is_empty = |repository: &&PathBuf| {
        let parent = Some(repository.as_path());
        repository.is_dir() && models.iter().all(|model| model.folder.parent() != parent)
    };
    let mistake = |repository: &PathBuf| {
        let place = Place::File { path: repository.clone(), line: None };
        Mistake::general(place, no_models(repository))
    };
    config.repositories.iter().filter(is_empty).map(mistake).collect()
}

fn no_models(repository: &Path) -> String {
    let files = std::fs::read_dir(repository).into_iter().flatten().flatten();
    let mut files = files.map(|entry| entry.path()).filter(|path| is_model(path));
    let Some(file) = files.next() else {
        return "there are no models, expected <model>/<version>/model.onnx".into();
    };
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    format!(
        "there are no models, expected <model>/<version>/model.onnx: move '{}' to \
         '{stem}/1/model.onnx'",
        file.file_name().unwrap_or_default().to_string_lossy()
    )
}

/// `NAME=PATH`, unless there is a file of that very name.
pub(crate) fn split_argument(argument: &str) -> (Option<&str>, &Path) {
    match argument.split_once('=') {
        Some((name, path)) if !Path::new(argument).exists() => (Some(name), Path::new(path)),
        _ => (None, Path::new(argument)),
    }
}

/// The model at a path: a file, or a folder with versions.
pub(crate) fn one(name: Option<&str>, path: &Path, config: &Config) -> Result<ModelSource, String> {
    if let Some(name) = name {
        validate_name(name)?;
    }
    if path.is_dir() && !is_model(path) {
        let name = name.map_or_else(|| name::of_folder(path), |name| Ok(name.to_owned()))?;
        return Ok(folder::read(&name, path, config));
    }
    // Whether the file is there is said when it is read, like everything about its content.
    file::read(name, path, config)
}

/// The models of a repository folder. Files are passed over, and folders that are nobody's model.
fn scan(repository: &Path, config: &Config) -> Result<Vec<ModelSource>, String> {
    let failed = |error: std::io::Error| format!("failed to read the repository: {error}");
    let mut models = Vec::new();
    for entry in std::fs::read_dir(repository).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == LOST_AND_FOUND || !path.is_dir() {
            continue;
        }
        if models.len() == MAX_MODELS {
            return Err(format!("expected at most {MAX_MODELS} models in one repository"));
        }
        models.push(match validate_name(&name) {
            Ok(()) => folder::read(&name, &path, config),
            Err(message) => misnamed(name, &path, &message, config),
        });
    }
    Ok(models)
}

/// A model that cannot be served for the name of its folder; the others are.
fn misnamed(name: String, path: &Path, message: &str, config: &Config) -> ModelSource {
    let mut mistakes = Mistakes::default();
    let place = Place::File { path: path.to_owned(), line: None };
    mistakes.push(Mistake::general(place, format!("{message}; rename the folder")));
    ModelSource {
        name,
        folder: path.to_owned(),
        versions: Vec::new(),
        settings: config.models.settings("", &[], &mut Mistakes::default()),
        triton: TritonConfig::default(),
        limits: config.model_limits.clone(),
        labels_file: None,
        mistakes,
    }
}

/// Whether a file, or a folder with its external data (`model.onnx/model.onnx`), is itself a model.
fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

#[cfg(test)]
mod tests;
