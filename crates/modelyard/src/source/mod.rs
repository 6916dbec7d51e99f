//! Where models come from: files, model folders, repositories.
//!
//! A [`ModelSource`] is what is known before anything is loaded: the name, the versions to serve,
//! the settings, and every mistake in them. A mistake in one model is kept with that model, so
//! that the others serve.

mod catalogue;
pub(crate) mod check;
mod file;
mod folder;
mod given;
pub(crate) mod identity;
pub(crate) mod labels;
mod name;
mod pbtxt;
pub(crate) mod registered;
mod triton;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelyard_graph::Limits;
use modelyard_serving::Route;

use crate::config::layer::unknown;
use crate::config::mistake::{Mistake, Mistakes, nearest};
use crate::config::{Config, ModelSettings, Place};
pub(crate) use catalogue::Catalogue;
pub(crate) use folder::refuse_unknown_keys;
pub(crate) use given::Given;
pub(crate) use modelyard_registry::check_model_name as validate_name;
use triton::TritonConfig;

/// Stands for all models.
pub(crate) const EVERY: &str = "*";
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
    /// Which versions answer requests that name none; the highest where nobody says.
    pub(crate) route: Option<Route>,
    /// How to serve it.
    pub(crate) settings: ModelSettings,
    /// What lies beside it in `config.pbtxt`.
    pub(crate) triton: TritonConfig,
    /// How large its files may be.
    pub(crate) limits: Limits,
    /// `labels.txt` beside it.
    pub(crate) labels_file: Option<PathBuf>,
    /// Where its own settings would lie, unless that is `model.toml`.
    pub(crate) settings_file: Option<PathBuf>,
    /// What the request to load it brought along.
    pub(crate) given: Option<Arc<Given>>,
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
    /// The folder that holds nothing but this version, where there is one.
    pub(crate) folder: Option<PathBuf>,
    /// What the registry knows of it, where it is from there.
    pub(crate) registered: Option<Arc<modelyard_registry::Version>>,
}

impl ModelSource {
    /// A model of which nothing is known but how to serve it.
    pub(crate) fn new(
        name: &str,
        folder: PathBuf,
        settings: ModelSettings,
        config: &Config,
    ) -> ModelSource {
        ModelSource {
            name: name.to_owned(),
            folder,
            versions: Vec::new(),
            route: None,
            settings,
            triton: TritonConfig::default(),
            limits: config.model_limits.clone(),
            labels_file: None,
            settings_file: None,
            given: None,
            mistakes: Mistakes::default(),
        }
    }

    /// Bytes of the files that it is made of: a guess at what it takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let version = |version: &VersionSource| match &version.registered {
            Some(registered) => registered.manifest.bytes(),
            None => identity::of_version(version).bytes(),
        };
        self.versions.iter().map(version).sum()
    }

    /// Numbers of its versions, ascending.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.versions.iter().map(|version| version.number).collect()
    }
}

impl VersionSource {
    /// A version in a file.
    fn of_file(number: u64, file: Result<PathBuf, Mistake>, folder: Option<PathBuf>) -> Self {
        VersionSource { number, file, folder, registered: None }
    }
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

/// The one model of this name, wherever the arguments or the configuration have it; `None` where
/// they have not.
fn named(
    name: &str,
    arguments: &[String],
    config: &Config,
    given: Option<Arc<Given>>,
) -> Result<Option<ModelSource>, String> {
    validate_name(name)?;
    let given_folder = given.as_ref().and_then(|given| given.folder());
    let Some(path) = given_folder.or_else(|| locate(name, arguments, config)) else {
        return Ok(None);
    };
    at(name, &path, config, given).map(Some)
}

fn locate(name: &str, arguments: &[String], config: &Config) -> Option<PathBuf> {
    let of_argument = |argument: &String| {
        let (given, path) = split_argument(argument);
        let its = match given {
            Some(given) => given.to_owned(),
            None if path.is_dir() && !is_model(path) => name::of_folder(path).ok()?,
            None => name::of_file(path).ok()?,
        };
        (its == name).then(|| path.to_owned())
    };
    let in_repository = |repository: &PathBuf| {
        let path = repository.join(name);
        path.is_dir().then_some(path)
    };
    arguments
        .iter()
        .find_map(of_argument)
        .or_else(|| config.listed_models.get(name).cloned())
        .or_else(|| config.repositories.iter().find_map(in_repository))
}

/// Refuses names of models to load that none has.
pub(crate) fn refuse_unknown(names: &[String], models: &[ModelSource]) -> Result<(), Mistakes> {
    let mut mistakes = Mistakes::default();
    for name in names.iter().filter(|name| *name != EVERY) {
        if !models.iter().any(|model| model.name == *name) {
            let hint = nearest(name, models.iter().map(|model| model.name.as_str()));
            let place = Place::Flag(format!("load_model {name}"));
            mistakes.push(Mistake::general(place, unknown("model", hint)));
        }
    }
    mistakes.or(())
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
    let is_folder = path.is_dir() && !is_model(path);
    let name = match (name, is_folder) {
        (Some(name), _) => name.to_owned(),
        (None, true) => name::of_folder(path)?,
        (None, false) => name::of_file(path)?,
    };
    at(&name, path, config, None)
}

fn at(
    name: &str,
    path: &Path,
    config: &Config,
    given: Option<Arc<Given>>,
) -> Result<ModelSource, String> {
    if path.is_dir() && !is_model(path) {
        return Ok(folder::read(name, path, given, config));
    }
    // Whether the file is there is said when it is read, like everything about its content.
    Ok(file::read(name, path, given, config))
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
            Ok(()) => folder::read(&name, &path, None, config),
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
    let settings = config.models.settings("", &[], &mut Mistakes::default());
    ModelSource { mistakes, ..ModelSource::new(&name, path.to_owned(), settings, config) }
}

/// Whether a file, or a folder with its external data (`model.onnx/model.onnx`), is itself a model.
fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

#[cfg(test)]
mod tests;
