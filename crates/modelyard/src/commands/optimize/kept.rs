//! Candidates that took long to make, kept: a search that goes on need not train them again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::{Limits, Model};
use modelyard_optimize::search::Recipe;

use super::record;
use crate::commands::convert::aside::Aside;
use crate::optimizing::prepare;

/// Models by their recipe.
pub(super) struct Kept<'a> {
    folder: &'a Path,
    limits: &'a Limits,
    /// Those that time cut short: good for this run, not for one that has more time.
    cut: HashMap<Recipe, Model>,
}

/// A model, and whether time cut its making short.
pub(super) struct Made {
    pub(super) model: Model,
    pub(super) is_cut: bool,
}

impl Made {
    /// Time was enough.
    pub(super) fn whole(model: Model) -> Made {
        Made { model, is_cut: false }
    }
}

impl<'a> Kept<'a> {
    /// Those in a folder, as far as they are whole.
    pub(super) fn new(folder: &'a Path, limits: &'a Limits) -> Kept<'a> {
        Kept { folder, limits, cut: HashMap::new() }
    }

    /// The model of a recipe, if it was made before.
    pub(super) fn find(&self, recipe: &Recipe) -> anyhow::Result<Option<Model>> {
        if let Some(model) = self.cut.get(recipe) {
            return Ok(Some(model.clone()));
        }
        let path = self.path(recipe)?;
        path.exists().then(|| prepare::read(&path, self.limits)).transpose()
    }

    /// Keeps the model of a recipe.
    pub(super) fn keep(&mut self, recipe: &Recipe, made: Made) -> anyhow::Result<Model> {
        if made.is_cut {
            self.cut.insert(recipe.clone(), made.model.clone());
            return Ok(made.model);
        }
        let path = self.path(recipe)?;
        let aside = Aside::new(&path)?;
        write(&made.model, &aside.path, &WriteOptions::default())?;
        aside.publish(&path)?;
        Ok(made.model)
    }

    /// Whether time cut a recipe, or one that it begins with, short.
    pub(super) fn is_cut(&self, recipe: &Recipe) -> bool {
        self.cut.keys().any(|cut| recipe.0.starts_with(&cut.0))
    }

    fn path(&self, recipe: &Recipe) -> anyhow::Result<PathBuf> {
        let digest = record::digest([serde_json::to_string(recipe)?.as_bytes()]);
        Ok(self.folder.join(format!("{}.onnx", &digest[..16])))
    }
}
