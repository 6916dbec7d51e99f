//! Engines that run ONNX models, behind one seam.
//!
//! [`Engine`] loads a model, [`Session`] runs it. Everything above speaks only these two.
//!
//! | module | holds |
//! |---|---|
//! | `engines` | [`Engines`]: which there are, where they are found, [`install`] |
//! | `seam` | [`Engine`], [`Session`] and what they answer |
//! | [`rten`] | the embedded engine |
//! | [`onnxruntime`] | ONNX Runtime, loaded at run time |
//! | [`memory`] | what models cost, and that it comes back |
//! | [`threads`] | one budget of threads for all models |

mod engines;
pub mod memory;
pub mod onnxruntime;
pub mod rten;
mod seam;
pub mod threads;

pub use engines::{
    DEFAULT_VERSION, EngineChoice, EngineConfig, EngineInfo, EngineReport, Engines, InstallError,
    Installed, Source, install,
};
pub use onnxruntime::{end_process, prepare_process};
pub use seam::{
    Engine, LoadError, LoadOptions, Loaded, ModelFile, Parallelism, Refusal, RunError, Session,
};
