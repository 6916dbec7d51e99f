//! Everything that may be served: to look into again and again while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Given, ModelSource, find, is_model, named, split_argument};
use crate::config::Config;
use crate::config::mistake::Mistakes;

/// Where models come from: the arguments of the command line and the configuration.
pub(crate) struct Catalogue {
    arguments: Vec<String>,
    config: Config,
}

impl Catalogue {
    pub(crate) fn new(arguments: &[String], config: &Config) -> Catalogue {
        Catalogue { arguments: arguments.to_vec(), config: config.clone() }
    }

    /// All models, as they are now.
    pub(crate) fn all(&self) -> Result<Vec<ModelSource>, Mistakes> {
        find(&self.arguments, &self.config)
    }

    /// The model of this name, as it is now.
    pub(crate) fn named(
        &self,
        name: &str,
        given: Option<Arc<Given>>,
    ) -> Result<Option<ModelSource>, String> {
        named(name, &self.arguments, &self.config, given)
    }

    /// The folders that models lie in.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let arguments = self.arguments.iter().map(|argument| split_argument(argument).1);
        let models = arguments.chain(self.config.listed_models.values().map(PathBuf::as_path));
        let folders = models.filter(|path| path.is_dir() && !is_model(path)).map(Path::to_owned);
        folders.chain(self.config.repositories.clone()).collect()
    }
}
