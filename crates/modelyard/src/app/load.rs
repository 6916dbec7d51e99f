//! Loads one version: reads, checks, loads, tries and warms it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use modelyard_engine::{EngineChoice, Engines, LoadError, LoadOptions, ModelFile};
use modelyard_graph::{Limits, file};
use modelyard_serving::{Version, VersionSpec};

use super::recorded::newest;
use crate::config::EngineConfig;
use crate::exit::Exit;
use crate::source::check::{Checked, check};
use crate::source::{Given, ModelSource, VersionSource};

/// Why a version is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its number.
    pub(super) version: u64,
    /// The reason, for people.
    pub(super) reason: String,
    /// How the process ends should nothing else be served.
    pub(super) exit: Exit,
}

/// What all loads share.
pub(super) struct Loader {
    engines: Arc<Engines>,
    choice: EngineChoice,
    options: LoadOptions,
    /// Where requests are recorded.
    tape: Option<PathBuf>,
}

impl Loader {
    /// A loader. To be made by a thread of normal priority, which those that engines share get.
    pub(super) fn new(engine: &EngineConfig, tape: Option<PathBuf>) -> Loader {
        let (engines, options) = (Arc::new(engine.engines()), engine.load_options());
        engines.prepare(&options);
        Loader { engines, choice: engine.choice, options, tape }
    }

    /// The version, ready to take requests, or why there is none. Blocks, perhaps for seconds.
    pub(super) fn load(
        &self,
        source: &ModelSource,
        version: &VersionSource,
    ) -> Result<Version, Failure> {
        let number = version.number;
        let failed = |reason, exit| Failure { version: number, reason, exit };
        let checked =
            check(source, version).map_err(|mistakes| failed(mistakes.line(), Exit::Model))?;
        let recorded = self.tape.as_deref().map(|tape| newest(tape, &source.name));
        let recorded = recorded.unwrap_or_default();
        Version::load_warmed(self.spec(source, number, checked), &recorded)
            .map_err(|error| failed(error.to_string(), Exit::from(&error)))
    }

    /// What the core needs to load a version, and to load it again after its engine panicked.
    fn spec(&self, source: &ModelSource, number: u64, checked: Checked) -> VersionSpec {
        let choice = source.settings.engine.unwrap_or(self.choice);
        let (engines, options) = (self.engines.clone(), self.options.clone());
        let reader = Reader::new(checked.file, source);
        VersionSpec {
            model: source.name.clone(),
            number,
            config: source.settings.serving.clone(),
            labels: checked.labels,
            load: Box::new(move || engines.load(choice, &reader.read()?, &options)),
        }
    }
}

/// Hands out the parsed model once and reads it again afterwards: a second load is rare, and a
/// parsed model is as large as its weights.
struct Reader {
    path: PathBuf,
    limits: Limits,
    first: Mutex<Option<ModelFile>>,
    /// Where the file was given with the request to load, it lies as long as the version lives.
    _given: Option<Arc<Given>>,
}

impl Reader {
    fn new(file: ModelFile, source: &ModelSource) -> Reader {
        let (path, first) = (file.path.clone(), Mutex::new(Some(file)));
        Reader { path, limits: source.limits.clone(), first, _given: source.given.clone() }
    }

    fn read(&self) -> Result<ModelFile, LoadError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = first {
            return Ok(file);
        }
        let model = file::read_file(&self.path, &self.limits)?;
        Ok(ModelFile { path: self.path.clone(), model })
    }
}
