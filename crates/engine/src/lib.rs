//! Engines that run ONNX models, behind one seam.
//!
//! [`Engine`] loads a model, [`Session`] runs it. Everything above speaks only these two.

mod seam;
pub mod threads;

pub use seam::{
    Engine, LoadError, LoadOptions, Loaded, ModelFile, Parallelism, Refusal, RunError, Session,
};
