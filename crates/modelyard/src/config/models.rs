//! What flags, environment and `modelyard.toml` say about models, put together model by model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::key::Stack;
use super::layer::Layer;
use super::mistake::Mistakes;
use super::model::{self, ModelSettings};
use super::place::Place;

/// What is said about models, strongest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelLayers {
    pub(super) flags: Layer,
    pub(super) environment: Layer,
    pub(super) file: Layer,
}

impl ModelLayers {
    /// The checked settings of one model. `own` is what lies beside the model, strongest first:
    /// `model.toml`, `config.pbtxt`.
    pub(crate) fn settings(
        &self,
        name: &str,
        own: &[&Layer],
        mistakes: &mut Mistakes,
    ) -> ModelSettings {
        let this = format!("models.{name}");
        let (flags, file) = (self.flags.under(&this), self.file.under(&this));
        let all = [self.flags.under("model"), self.environment.under("model")];
        let all_in_file = self.file.under("model");
        let mut layers = vec![&flags, &all[0], &all[1], &file];
        layers.extend(own);
        layers.push(&all_in_file);
        ModelSettings::check(layers, mistakes)
    }

    /// The models that have a path of their own; relative to the folder of the file that says so.
    pub(super) fn listed(&self, mistakes: &mut Mistakes) -> BTreeMap<String, PathBuf> {
        let mut listed = BTreeMap::new();
        for layer in [&self.file, &self.flags] {
            for name in names(layer) {
                let own = layer.under(&format!("models.{name}"));
                let stack = Stack { layers: vec![&own] };
                let Some(path) = stack.take(&model::PATH, mistakes) else { continue };
                let folder = match stack.place(&model::PATH) {
                    Place::File { path, .. } => path.parent().map(Path::to_owned),
                    _ => None,
                };
                listed.insert(name, folder.map_or(path.clone(), |folder| folder.join(path)));
            }
        }
        listed
    }
}

/// The names under `[models.NAME]`. A name may have dots itself (in quotes), so it ends where a
/// known key begins.
pub(super) fn names(layer: &Layer) -> BTreeSet<String> {
    let keys: Vec<String> = model::ALL.iter().map(|key| format!(".{}", key.name())).collect();
    let name = |entry: &String| {
        let rest = entry.strip_prefix("models.")?;
        let end = keys.iter().filter_map(|key| rest.strip_suffix(key.as_str())).next_back();
        Some(end.or_else(|| Some(rest.split_once('.')?.0))?.to_owned())
    };
    layer.entries.keys().filter_map(name).collect()
}
