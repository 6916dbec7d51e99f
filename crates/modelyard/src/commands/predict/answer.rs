//! What came of a prediction.

use std::time::Duration;

use modelyard_serving::Labels;
use modelyard_tensor::Tensor;

/// What came of a prediction.
pub(super) struct Answer {
    /// Name of the model.
    pub(super) model: String,
    /// Version, where there is one.
    pub(super) version: Option<String>,
    /// The engine (local) or the address (remote) that answered.
    pub(super) by: String,
    /// Outputs with their names, in the order of the model.
    pub(super) outputs: Vec<(String, Tensor)>,
    /// Class names by output.
    pub(super) labels: Labels,
    /// Time for the one call.
    pub(super) time: Duration,
}
