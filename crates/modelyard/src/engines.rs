//! Which engines there are, where they were found, and which one runs a model.
//!
//! rten is always there. ONNX Runtime is looked for at `--onnxruntime-lib`, then
//! `ORT_DYLIB_PATH`, then in `<data dir>/engines/`; it is opened only when somebody wants it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use modelyard_engine::onnxruntime::{self, OnnxRuntime};
use modelyard_engine::rten::{self, Rten};
use modelyard_engine::{Engine, LoadError, LoadOptions, Loaded, ModelFile, Refusal};
use modelyard_graph::Model;

use crate::config::EngineConfig;
use crate::config::keys::EngineChoice;

/// The name that errors carry when no engine took a model.
const AUTO: &str = "auto";

/// Every engine of this process.
pub(crate) struct Engines {
    choice: EngineChoice,
    threads: usize,
    rten: Arc<Rten>,
    library: Option<(Origin, PathBuf)>,
    onnxruntime: OnceLock<Result<Arc<OnnxRuntime>, String>>,
}

/// Who said where a library lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The flag or key.
    Configured,
    /// `ORT_DYLIB_PATH`.
    Environment,
    /// The data folder: installed by us.
    Installed,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Configured => "onnxruntime_lib",
            Origin::Environment => "ORT_DYLIB_PATH",
            Origin::Installed => "installed",
        })
    }
}

impl Engines {
    /// Looks for engines. Opens none.
    pub(crate) fn find(config: &EngineConfig) -> Engines {
        let variable = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
        let configured = config.onnxruntime_lib.clone().map(|path| (Origin::Configured, path));
        let library = configured
            .or_else(|| variable.map(|path| (Origin::Environment, PathBuf::from(path))))
            .or_else(|| Some((Origin::Installed, installed(&config.data_dir)?)));
        Engines {
            choice: config.choice,
            threads: config.threads,
            rten: Arc::default(),
            library,
            onnxruntime: OnceLock::new(),
        }
    }

    /// The names of all engines, the preferred first.
    pub(crate) const NAMES: [&'static str; 2] = [onnxruntime::NAME, rten::NAME];

    /// Where ONNX Runtime was found.
    pub(crate) fn library(&self) -> Option<(Origin, &Path)> {
        self.library.as_ref().map(|(origin, path)| (*origin, path.as_path()))
    }

    /// The engine with this name, or why it is not usable and what to do.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<dyn Engine>, String> {
        match name {
            rten::NAME => Ok(self.rten.clone()),
            onnxruntime::NAME => {
                let opened = self.onnxruntime.get_or_init(|| self.open()).clone()?;
                Ok(opened)
            }
            other => Err(format!("unknown engine '{other}'")),
        }
    }

    fn open(&self) -> Result<Arc<OnnxRuntime>, String> {
        let Some((origin, path)) = &self.library else {
            return Err("not found; install it by 'modelyard engine install onnxruntime' or name \
                        its library by --onnxruntime-lib"
                .into());
        };
        OnnxRuntime::open(path).map(Arc::new).map_err(|error| format!("{error} ({origin})"))
    }

    /// Which engines a choice means, the preferred first. `None` is the choice of the whole
    /// server.
    fn names(&self, choice: Option<EngineChoice>) -> Vec<&'static str> {
        match choice.unwrap_or(self.choice) {
            EngineChoice::Named(name) => vec![name],
            // One that nobody has is passed over without a word; one that somebody pointed to
            // and that does not work is not.
            EngineChoice::Auto => match self.library {
                Some(_) => Engines::NAMES.to_vec(),
                None => vec![rten::NAME],
            },
        }
    }

    /// Loads a model with the first engine that takes it.
    pub(crate) fn load(
        &self,
        choice: Option<EngineChoice>,
        file: &ModelFile,
    ) -> Result<Loaded, LoadError> {
        let options = LoadOptions { threads: self.threads };
        let mut errors = Vec::new();
        for name in self.names(choice) {
            let loaded = self
                .get(name)
                .map_err(|message| LoadError::Unusable { engine: name, message })
                .and_then(|engine| engine.load(file, &options));
            match loaded {
                Ok(loaded) => {
                    for error in errors {
                        tracing::warn!("{error}; engine '{name}' runs the model");
                    }
                    return Ok(loaded);
                }
                Err(error) => errors.push(error),
            }
        }
        Err(self.combined(errors))
    }

    /// What stands against loading, without loading: empty when one engine takes the model.
    pub(crate) fn refusals(
        &self,
        choice: Option<EngineChoice>,
        model: &Model,
    ) -> Result<(), LoadError> {
        let mut errors = Vec::new();
        for name in self.names(choice) {
            match self.get(name) {
                Ok(engine) => {
                    let refusals: Vec<Refusal> = engine.refusals(model);
                    if refusals.is_empty() {
                        return Ok(());
                    }
                    errors.push(LoadError::Refused { engine: engine.name(), refusals });
                }
                Err(message) => errors.push(LoadError::Unusable { engine: name, message }),
            }
        }
        Err(self.combined(errors))
    }

    /// One error for all that failed.
    fn combined(&self, mut errors: Vec<LoadError>) -> LoadError {
        if self.library.is_none() && matches!(errors.as_slice(), [LoadError::Refused { .. }]) {
            let message = format!(
                "{}; engine 'onnxruntime' may run it, but is not there (modelyard \
                                   engine install onnxruntime)",
                errors[0]
            );
            return LoadError::Failed { engine: AUTO, message };
        }
        if errors.len() == 1 {
            return errors.remove(0);
        }
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        LoadError::Failed { engine: AUTO, message: all.join("; ") }
    }
}

/// The newest ONNX Runtime in the data folder: `engines/onnxruntime/<version>/<library>`.
fn installed(data_dir: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(data_dir.join("engines").join(onnxruntime::NAME)).ok()?;
    let found = versions.flatten().filter_map(|version| {
        let library = library_in(&version.path())?;
        Some((version_key(&version.file_name().to_string_lossy()), library))
    });
    found.max().map(|(_, library)| library)
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut libraries: Vec<PathBuf> = names.filter(|path| is_library(path)).collect();
    libraries.sort();
    libraries.into_iter().next()
}

/// `libonnxruntime.so.1.22.0`, `libonnxruntime.1.22.0.dylib`, `onnxruntime.dll`; not the
/// providers beside it.
fn is_library(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| {
        name.starts_with("libonnxruntime.") || name.eq_ignore_ascii_case("onnxruntime.dll")
    })
}

/// Versions in order: 1.9 before 1.22.
fn version_key(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_installed_library_is_found() {
        let data = tempfile::TempDir::new().unwrap();
        for file in [
            "1.9.0/libonnxruntime.so.1.9.0",
            "1.22.0/libonnxruntime.so.1.22.0",
            "1.22.0/libonnxruntime_providers_shared.so",
            "2.0.0/readme",
        ] {
            let path = data.path().join("engines/onnxruntime").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = installed(data.path()).unwrap();
        assert!(found.ends_with("1.22.0/libonnxruntime.so.1.22.0"), "{found:?}");
        assert_eq!(installed(Path::new("/nowhere")), None);
    }

    #[test]
    fn an_engine_that_is_not_there_says_what_to_do() {
        let engines = Engines {
            choice: EngineChoice::Auto,
            threads: 1,
            rten: Arc::default(),
            library: Some((Origin::Configured, "/nowhere/libonnxruntime.so".into())),
            onnxruntime: OnceLock::new(),
        };
        let error = engines.get(onnxruntime::NAME).err().unwrap();
        assert!(error.contains("/nowhere/libonnxruntime.so"), "{error}");
        assert!(error.ends_with("(onnxruntime_lib)"), "{error}");
        assert!(engines.get(rten::NAME).is_ok());
    }
}
