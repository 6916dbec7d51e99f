//! Loading models: off the serving threads, a few at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use modelyard_engine::{EngineChoice, Engines, LoadError, LoadOptions, ModelFile};
use modelyard_graph::{Limits, file};
use modelyard_serving::{Service, Version, VersionSpec, VersionState};
use tokio::sync::mpsc;

use crate::config::EngineConfig;
use crate::exit::Exit;
use crate::source::check::{Checked, check};
use crate::source::{ModelSource, VersionSource};

/// What became of a version: ready, or the exit code should it be the only one.
pub(super) type Outcome = Result<(), Exit>;

/// What all loaders share.
pub(super) struct Loader {
    service: Arc<Service>,
    engines: Arc<Engines>,
    choice: EngineChoice,
    options: LoadOptions,
}

impl Loader {
    /// A loader for `service`.
    pub(super) fn new(service: Arc<Service>, engine: &EngineConfig) -> Loader {
        let (engines, options) = (Arc::new(engine.engines()), engine.load_options());
        Loader { service, engines, choice: engine.choice, options }
    }

    /// Loads every version of `sources` with so many threads. The answer gets one message a
    /// version, and ends when all are done.
    pub(super) fn start(
        self: Arc<Self>,
        sources: Vec<ModelSource>,
        threads: usize,
    ) -> std::io::Result<mpsc::UnboundedReceiver<Outcome>> {
        let mut jobs = VecDeque::new();
        for source in sources {
            let source = Arc::new(source);
            jobs.extend((0..source.versions.len()).map(|index| (source.clone(), index)));
        }
        let (done, answers) = mpsc::unbounded_channel();
        let threads = threads.min(jobs.len());
        let jobs = Arc::new(Mutex::new(jobs));
        for index in 0..threads {
            let (loader, jobs, done) = (self.clone(), jobs.clone(), done.clone());
            std::thread::Builder::new().name(format!("load-{index}")).spawn(move || {
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some((source, index)) = next() {
                    // Nobody listens any more when the server was told to stop meanwhile.
                    if done.send(loader.load(&source, &source.versions[index])).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(answers)
    }

    /// Brings one version up, or notes why not.
    fn load(&self, source: &ModelSource, version: &VersionSource) -> Outcome {
        let (model, number) = (source.name.as_str(), version.number);
        for warning in &source.triton.warnings {
            tracing::warn!(model, "{warning}");
        }
        let (state, outcome) = match self.bring_up(source, version) {
            Ok(version) => {
                tracing::info!(
                    model,
                    version = number,
                    engine = version.engine(),
                    "model is ready"
                );
                (VersionState::Ready(Arc::new(version)), Ok(()))
            }
            Err((reason, exit)) => {
                tracing::error!(model, version = number, "model is not available: {reason}");
                (VersionState::Unavailable(reason), Err(exit))
            }
        };
        self.service.set_version(model, number, state);
        outcome
    }

    /// The version, or why there is none, and which exit code that is.
    fn bring_up(
        &self,
        source: &ModelSource,
        version: &VersionSource,
    ) -> Result<Version, (String, Exit)> {
        let checked = check(source, version).map_err(|mistakes| (mistakes.line(), Exit::Model))?;
        Version::load(self.spec(source, version.number, checked))
            .map_err(|error| (error.to_string(), Exit::from(&error)))
    }

    /// What the core needs to load a version, and to load it again after its engine panicked.
    fn spec(&self, source: &ModelSource, number: u64, checked: Checked) -> VersionSpec {
        let choice = source.settings.engine.unwrap_or(self.choice);
        let (engines, options) = (self.engines.clone(), self.options.clone());
        let reader = Reader::new(checked.file, source.limits.clone());
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
    path: std::path::PathBuf,
    limits: Limits,
    first: Mutex<Option<ModelFile>>,
}

impl Reader {
    fn new(file: ModelFile, limits: Limits) -> Reader {
        Reader { path: file.path.clone(), limits, first: Mutex::new(Some(file)) }
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
