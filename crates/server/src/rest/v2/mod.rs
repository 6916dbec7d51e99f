//! The Open Inference Protocol v2 over HTTP, with Triton's extensions.
//!
//! | module | holds |
//! |---|---|
//! | `infer` | the handler of `POST .../infer` |
//! | `decode` | its request: JSON, tensors in binary, or raw |
//! | `encode` | its answer |
//! | `repository` | models that are loaded and unloaded on request |
//! | `about` | what server and models are, which are there, what they have done |

mod about;
mod decode;
mod encode;
#[cfg(test)]
mod hostile;
mod infer;
mod repository;

pub(super) use about::*;
pub(super) use encode::unprintable;
pub(super) use infer::infer;
pub(super) use repository::{repository_load, repository_unload};
