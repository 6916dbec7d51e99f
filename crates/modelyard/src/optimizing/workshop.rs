//! Models that are in memory, in the engine that will serve them.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Context;
use modelyard_engine::{EngineChoice, Engines, LoadOptions, Loaded, ModelFile};
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};

use crate::config::Config;
use crate::exit;

/// Where models that are tried out lie, and the engine that runs them.
pub(crate) struct Workshop {
    engines: Engines,
    choice: EngineChoice,
    options: LoadOptions,
    folder: tempfile::TempDir,
    count: Cell<usize>,
}

impl Workshop {
    /// The engine that the configuration chooses.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Workshop> {
        let folder = tempfile::Builder::new().prefix("modelyard-").tempdir();
        Ok(Workshop {
            engines: config.engine.engines(),
            choice: config.engine.choice,
            options: config.engine.load_options(),
            folder: folder.context("failed to make a folder for temporary files")?,
            count: Cell::new(0),
        })
    }

    /// Loads a model that is called once at a time.
    pub(crate) fn load(&self, model: &Model) -> anyhow::Result<Loaded> {
        let path = self.write(model)?;
        let loaded = self.load_with(model, &path, &LoadOptions { lone: true, ..self.options });
        // There may be hundreds, one after the other. What stays goes with the workshop.
        let _ = path.parent().map(std::fs::remove_dir_all);
        loaded
    }

    /// Loads a model as a server does it, so that times are those of a server. Its file stays as long
    /// as the workshop.
    pub(crate) fn load_to_serve(&self, model: &Model) -> anyhow::Result<Loaded> {
        self.load_with(model, &self.write(model)?, &self.options)
    }

    /// Writes a model into a folder of its own.
    fn write(&self, model: &Model) -> anyhow::Result<PathBuf> {
        let number = self.count.replace(self.count.get() + 1);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder).context("failed to make a folder for temporary files")?;
        let path = folder.join("model.onnx");
        write(model, &path, &WriteOptions { scratch: true, ..WriteOptions::default() })?;
        Ok(path)
    }

    fn load_with(
        &self,
        model: &Model,
        path: &Path,
        options: &LoadOptions,
    ) -> anyhow::Result<Loaded> {
        let file = ModelFile { path: path.to_owned(), model: model.clone() };
        exit::loaded(self.engines.load(self.choice, &file, options))
    }
}
