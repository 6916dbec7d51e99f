//! What the server says it is, and is not, over REST and gRPC.

use modelyard_serving::{ErrorCode, InferError};

/// Name of the server.
pub(crate) const NAME: &str = "modelyard";

/// Version of the server.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Extensions of the Open Inference Protocol that are spoken, in Triton's names.
pub(crate) const EXTENSIONS: [&str; 8] = [
    "classification",
    "schedule_policy",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "binary_tensor_data",
    "parameters",
    "statistics",
];

/// Extensions that are known, but not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Loading,
    SharedMemory,
    Settings,
}

impl Missing {
    /// Why a method or path is not answered, and what to do instead.
    pub(crate) fn error(self, what: &str) -> InferError {
        let instead = match self {
            Missing::Loading => "models are loaded when the server starts",
            Missing::SharedMemory => "send tensors in the request instead of shared memory",
            Missing::Settings => "tracing and logging are configured at the start",
        };
        InferError::new(ErrorCode::Unimplemented, format!("{what} is not offered: {instead}"))
    }
}
