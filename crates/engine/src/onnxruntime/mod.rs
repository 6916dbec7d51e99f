//! ONNX Runtime, loaded at run time through its C API.
//!
//! A thin binding of our own: one environment a process, one session shared by all callers,
//! inputs borrowed and outputs handed on without a copy.
//!
//! | module | holds |
//! |---|---|
//! | `library` | the shared library, its table of functions, its environment |
//! | `telemetry` | what keeps it silent |
//! | `heap` | memory that its models leave behind |
//! | `end` | how a process ends while it may still be at work |
//! | `options`, `session` | loaded models |
//! | `starter` | threads of its pools |
//! | `value` | tensors in and out |
//! | `status`, `refusal` | errors |
//! | `admission` | what it answers wrongly |
#![expect(unsafe_code, reason = "the border to a C library")]

mod admission;
mod arena;
mod end;
mod heap;
mod library;
mod options;
mod refusal;
mod session;
mod starter;
mod status;
mod telemetry;
mod value;

use std::path::Path;
use std::time::Instant;

use modelyard_graph::Model;

pub use end::end_process;
pub(crate) use heap::trim;
pub(crate) use starter::prepare;
pub use telemetry::prepare_process;

use crate::memory::resident_bytes;
use crate::{Engine, LoadError, LoadOptions, Loaded, ModelFile, Refusal};
use library::Library;
use session::OnnxRuntimeSession;

/// The engine's name.
pub const NAME: &str = "onnxruntime";

/// ONNX Runtime as an [`Engine`].
pub struct OnnxRuntime {
    library: &'static Library,
}

impl OnnxRuntime {
    /// Loads the library at `path`; it stays loaded until the process ends. Says what is wrong
    /// with it otherwise.
    pub fn open(path: &Path) -> Result<Self, String> {
        Ok(OnnxRuntime { library: Library::open(path)? })
    }

    /// Where the library lies.
    pub fn path(&self) -> &Path {
        self.library.path()
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        self.library.version().to_owned()
    }

    fn refusals(&self, model: &Model) -> Vec<Refusal> {
        admission::refusals(model)
    }

    fn load(&self, file: &ModelFile, options: &LoadOptions) -> Result<Loaded, LoadError> {
        let (start, before) = (Instant::now(), resident_bytes());
        let refusals = self.refusals(&file.model);
        if !refusals.is_empty() {
            return Err(LoadError::Refused { engine: NAME, refusals });
        }
        let failed = |message| LoadError::Failed { engine: NAME, message };
        let signature = file.model.signature().map_err(|error| failed(error.to_string()))?.clone();
        let session = OnnxRuntimeSession::load(self.library, file.path.clone(), signature, options)
            .map_err(|message| match refusal::of(&file.model, &message) {
                Some(refusal) => LoadError::Refused { engine: NAME, refusals: vec![refusal] },
                None => failed(message),
            })?;
        Ok(Loaded {
            session: Box::new(session),
            engine: NAME,
            time: start.elapsed(),
            bytes: resident_bytes().saturating_sub(before),
        })
    }
}
