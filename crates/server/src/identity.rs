//! What the server says it is, over REST and gRPC.

/// Name of the server.
pub(crate) const NAME: &str = "modelyard";

/// Version of the server.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Extensions of the Open Inference Protocol that are spoken, in Triton's names.
pub(crate) const EXTENSIONS: [&str; 6] = [
    "classification",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
];
