//! A model of the registry as one that can be loaded.

use std::path::PathBuf;
use std::sync::Arc;

use modelyard_registry::Version;
use modelyard_serving::Route;

use super::Desired;
use crate::config::layer::Layer;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::{Config, Place};
use crate::source::{ModelSource, VersionSource, refuse_unknown_keys};

/// Settings of a model, where its version has them beside it.
const SETTINGS: &str = "model.toml";

/// A version with the folder that has its files; or why there is none.
pub(crate) type Fetched = (Arc<Version>, Result<PathBuf, String>);

/// The model that serves these versions. Settings are those of the version that answers by default.
pub(crate) fn model_source(
    (desired, route): (&Desired, Option<Route>),
    fetched: Vec<Fetched>,
    config: &Config,
) -> ModelSource {
    let name = desired.model.as_str();
    let mut mistakes = Mistakes::default();
    let note =
        |message: &String| Mistake::general(Place::Registry(name.to_owned()), message.clone());
    if let Err(reason) = &desired.versions {
        mistakes.push(note(reason));
    }
    let is_default = |version: &Version| Some(version.manifest.version) == desired.default;
    let leading = fetched.iter().find(|(version, _)| is_default(version));
    let folder = leading.and_then(|(_, folder)| folder.clone().ok()).unwrap_or_default();
    let own = match folder.join(SETTINGS) {
        path if path.is_file() => Layer::from_file(&path, &mut mistakes),
        _ => Layer::default(),
    };
    refuse_unknown_keys(&own, &mut mistakes);
    let settings = config.models.settings(name, &[&own], &mut mistakes);
    let version = |(version, folder): Fetched| VersionSource {
        number: version.manifest.version,
        file: folder
            .map(|folder| folder.join(&version.manifest.files[0].name))
            .map_err(|reason| note(&reason)),
        folder: None,
        registered: Some(version),
    };
    let versions = fetched.into_iter().map(version).collect();
    ModelSource { versions, route, mistakes, ..ModelSource::new(name, folder, settings, config) }
}
