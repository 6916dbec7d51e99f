//! Which engines there are, and which one runs a model.
//!
//! | module | holds |
//! |---|---|
//! | `locate` | where ONNX Runtime is looked for |
//! | `installed` | engines in the data directory |
//! | `install` | how they get there |

mod install;
mod installed;
mod locate;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub use install::{DEFAULT_VERSION, InstallError, Source, install};
pub use installed::Installed;

use crate::onnxruntime::{self, OnnxRuntime};
use crate::rten::{self, Rten};
use crate::{Engine, LoadError, LoadOptions, Loaded, ModelFile, Refusal};
use locate::Candidate;

/// Where engines are found and what they may use.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// The library that the user named; nothing else is looked for when set.
    pub onnxruntime_lib: Option<PathBuf>,
    /// What `ORT_DYLIB_PATH` says (this crate reads no environment).
    pub ort_dylib_path: Option<PathBuf>,
    /// Where [`install`] puts engines: below `engines/`.
    pub data_dir: PathBuf,
}

/// Which engine a model shall have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The best that loads the model.
    #[default]
    Auto,
    /// The one of this name.
    Named(&'static str),
}

/// All engines, best first. The libraries behind them are loaded when first needed.
pub struct Engines {
    config: EngineConfig,
    onnxruntime: OnceLock<Result<Arc<OnnxRuntime>, String>>,
    rten: Rten,
}

/// Whether an engine runs a model.
#[derive(Clone, Debug)]
pub struct EngineReport {
    /// The engine.
    pub engine: &'static str,
    /// Why the engine itself is not usable, if so.
    pub unusable: Option<String>,
    /// What of the model it refuses; empty when nothing stands against it.
    pub refusals: Vec<Refusal>,
}

/// An engine as `modelyard engine list` shows it.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// The engine.
    pub engine: &'static str,
    /// Version of the library behind it, where it can be told.
    pub version: Option<String>,
    /// Where it comes from, such as `built in` or `--onnxruntime-lib`.
    pub origin: String,
    /// Where the library lies; `None` when it is built in or not there.
    pub path: Option<PathBuf>,
    /// SHA-256 of the library as recorded when it was installed, in hexadecimal.
    pub sha256: Option<String>,
    /// Why it is not usable, and what to do.
    pub unusable: Option<String>,
}

impl Engines {
    /// Names of all engines, best first.
    pub const NAMES: [&'static str; 2] = [onnxruntime::NAME, rten::NAME];

    /// Loads nothing yet.
    pub fn new(config: EngineConfig) -> Self {
        Engines { config, onnxruntime: OnceLock::new(), rten: Rten::default() }
    }

    /// Loads a model with the engine of choice.
    ///
    /// With [`EngineChoice::Auto`] the first engine that loads it, best first; an ONNX Runtime
    /// that is not installed is passed over, one that the user pointed at must be usable.
    pub fn load(
        &self,
        choice: EngineChoice,
        file: &ModelFile,
        options: &LoadOptions,
    ) -> Result<Loaded, LoadError> {
        let name = match choice {
            EngineChoice::Auto => return self.load_with_best(file, options),
            EngineChoice::Named(name) => name,
        };
        self.named(name)?.load(file, options)
    }

    /// Starts the threads that engines share, which are of the caller's priority for ever: to be
    /// called before models are loaded by threads of a lower one.
    pub fn prepare(&self, options: &LoadOptions) {
        self.rten.prepare(options);
        onnxruntime::prepare();
    }

    fn load_with_best(&self, file: &ModelFile, options: &LoadOptions) -> Result<Loaded, LoadError> {
        let mut errors = Vec::new();
        for name in Self::NAMES {
            match self.named(name).and_then(|engine| engine.load(file, options)) {
                Ok(loaded) => {
                    warn_of_skipped(file, &errors, loaded.engine);
                    return Ok(loaded);
                }
                Err(error @ LoadError::Unusable { .. }) if self.points_at(name) => {
                    return Err(error);
                }
                Err(error) => errors.push(error),
            }
        }
        Err(LoadError::NoEngine(errors))
    }

    /// Whether the user said where this engine's library is.
    fn points_at(&self, name: &str) -> bool {
        name == onnxruntime::NAME
            && (self.config.onnxruntime_lib.is_some() || self.config.ort_dylib_path.is_some())
    }

    /// Which engines can run a model, and what stops those that can't. Loads it with each that
    /// does not refuse it: nothing else tells for sure.
    pub fn check(&self, file: &ModelFile) -> Vec<EngineReport> {
        Self::NAMES.into_iter().map(|name| self.report(name, file)).collect()
    }

    fn report(&self, name: &'static str, file: &ModelFile) -> EngineReport {
        let report = EngineReport { engine: name, unusable: None, refusals: Vec::new() };
        let engine = match self.named(name) {
            Ok(engine) => engine,
            Err(error) => return EngineReport { unusable: Some(error.to_string()), ..report },
        };
        let refusals = engine.refusals(&file.model);
        if !refusals.is_empty() {
            return EngineReport { refusals, ..report };
        }
        let refusals = match engine.load(file, &LoadOptions { threads: 1, lone: false }) {
            Ok(_) => Vec::new(),
            Err(LoadError::Refused { refusals, .. }) => refusals,
            Err(error) => vec![Refusal {
                operator: "model".into(),
                node: file.model.graph.name.clone(),
                reason: error.to_string(),
            }],
        };
        EngineReport { refusals, ..report }
    }

    /// Every engine there is: the embedded one, and every ONNX Runtime that is found, in the
    /// order of preference. Verifies recorded digests.
    pub fn list(&self) -> Vec<EngineInfo> {
        let mut infos: Vec<EngineInfo> =
            locate::candidates(&self.config).iter().map(describe).collect();
        if infos.is_empty() {
            infos.push(EngineInfo {
                engine: onnxruntime::NAME,
                version: None,
                origin: "not installed".into(),
                path: None,
                sha256: None,
                unusable: Some(locate::NOT_FOUND.into()),
            });
        }
        infos.push(EngineInfo {
            engine: rten::NAME,
            version: Some(self.rten.version()),
            origin: "built in".into(),
            path: None,
            sha256: None,
            unusable: None,
        });
        infos
    }

    fn named(&self, name: &str) -> Result<EngineRef<'_>, LoadError> {
        match name {
            rten::NAME => Ok(EngineRef::Rten(&self.rten)),
            onnxruntime::NAME => self
                .onnxruntime
                .get_or_init(|| self.open_onnxruntime().map(Arc::new))
                .as_ref()
                .map(|engine| EngineRef::OnnxRuntime(engine))
                .map_err(|message| LoadError::Unusable {
                    engine: onnxruntime::NAME,
                    message: message.clone(),
                }),
            other => Err(LoadError::Unknown(other.to_owned())),
        }
    }

    fn open_onnxruntime(&self) -> Result<OnnxRuntime, String> {
        let candidates = locate::candidates(&self.config);
        let best = candidates.first().ok_or(locate::NOT_FOUND)?;
        OnnxRuntime::open(&best.path)
            .map_err(|error| format!("{} ({}): {error}", best.path.display(), best.origin))
    }
}

/// Says which better engines did not take the model, and why: that another one answers for them
/// should surprise nobody. Those that are not installed go without saying.
fn warn_of_skipped(file: &ModelFile, errors: &[LoadError], taken: &str) {
    let told = |error: &&LoadError| !matches!(error, LoadError::Unusable { message, .. } if message == locate::NOT_FOUND);
    for error in errors.iter().filter(told) {
        let (model, skipped) = (file.path.display(), error.engine().unwrap_or_default());
        tracing::warn!(%model, skipped, taken, reason = %error, "a better engine was passed over");
    }
}

/// One of the engines, borrowed.
enum EngineRef<'a> {
    OnnxRuntime(&'a OnnxRuntime),
    Rten(&'a Rten),
}

impl std::ops::Deref for EngineRef<'_> {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        match self {
            EngineRef::OnnxRuntime(engine) => *engine,
            EngineRef::Rten(engine) => *engine,
        }
    }
}

fn describe(candidate: &Candidate) -> EngineInfo {
    let opened = candidate
        .installed
        .as_ref()
        .map_or(Ok(()), Installed::verify)
        .and_then(|()| OnnxRuntime::open(&candidate.path));
    let recorded = candidate.installed.as_ref();
    EngineInfo {
        engine: onnxruntime::NAME,
        version: match &opened {
            Ok(engine) => Some(engine.version()),
            Err(_) => recorded.map(|installed| installed.version.clone()),
        },
        origin: candidate.origin.to_owned(),
        path: Some(candidate.path.clone()),
        sha256: recorded.map(|installed| installed.sha256.clone()),
        unusable: opened.err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{GraphBuilder, Node};
    use modelyard_tensor::{DataType, Dim};

    fn model_file(folder: &std::path::Path, op_type: &str) -> ModelFile {
        let model = GraphBuilder::new("test")
            .input("x", DataType::Fp32, &[Dim::Fixed(2)])
            .output("y", DataType::Fp32, &[Dim::Fixed(2)])
            .node(Node::new(op_type, &["x"], &["y"]))
            .model()
            .check()
            .unwrap();
        let path = folder.join("model.onnx");
        std::fs::write(&path, model.encode()).unwrap();
        ModelFile { path, model }
    }

    #[test]
    fn falls_back_to_the_embedded_engine_when_none_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig { data_dir: folder.path().into(), ..EngineConfig::default() };
        let engines = Engines::new(config);
        let options = LoadOptions { threads: 1, lone: false };
        let file = model_file(folder.path(), "Relu");
        assert_eq!(engines.load(EngineChoice::Auto, &file, &options).unwrap().engine, "rten");
        let named = engines.load(EngineChoice::Named("onnxruntime"), &file, &options);
        let error = named.err().unwrap().to_string();
        assert!(error.contains("modelyard engine install onnxruntime"), "{error}");
    }

    #[test]
    fn a_library_that_the_user_named_must_work() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("libwrong.so");
        std::fs::write(&wrong, b"no library").unwrap();
        for library in [wrong, folder.path().join("missing.so")] {
            let engines = Engines::new(EngineConfig {
                onnxruntime_lib: Some(library.clone()),
                data_dir: folder.path().into(),
                ..EngineConfig::default()
            });
            let file = model_file(folder.path(), "Relu");
            let loaded =
                engines.load(EngineChoice::Auto, &file, &LoadOptions { threads: 1, lone: false });
            let error = loaded.err().unwrap();
            assert!(matches!(&error, LoadError::Unusable { .. }), "{error}");
            assert!(error.to_string().contains(library.to_str().unwrap()), "{error}");
            assert!(engines.list()[0].unusable.is_some());
        }
    }

    #[test]
    fn says_what_stops_every_engine() {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig { data_dir: folder.path().into(), ..EngineConfig::default() };
        let engines = Engines::new(config);
        let file = model_file(folder.path(), "Det");
        let loaded =
            engines.load(EngineChoice::Auto, &file, &LoadOptions { threads: 1, lone: false });
        let error = loaded.err().unwrap().to_string();
        assert!(error.contains("rten") && error.contains("onnxruntime"), "{error}");
        assert!(error.contains("Det"), "{error}");
        let report = engines.check(&file);
        let rten = report.iter().find(|report| report.engine == "rten").unwrap();
        assert_eq!(rten.refusals.len(), 1);
        assert_eq!(rten.refusals[0].node, "Det_y");
    }
}
