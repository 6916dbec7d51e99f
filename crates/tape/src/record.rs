//! One request and what became of it.

use std::time::Duration;

use modelyard_tensor::Tensor;

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was answered: microseconds since 1970, UTC.
    pub time_us: i64,
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u64,
    /// What the client called the request; often nothing.
    pub request_id: String,
    /// Rows of the request.
    pub rows: u64,
    /// From its arrival to its answer.
    pub latency: Duration,
    /// Of that, waiting for an instance; where known.
    pub queue: Option<Duration>,
    /// Of that, the run of the batch it was part of; where known.
    pub compute: Option<Duration>,
    /// The inputs, in the order of the model. Of a request that was refused, those that were
    /// tensors at all.
    pub inputs: Vec<NamedTensor>,
    /// The outputs that were asked for, or why there are none.
    pub answer: Result<Vec<NamedTensor>, Failure>,
}

/// An input or output.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    /// Its name in the model.
    pub name: String,
    /// What it holds.
    pub tensor: Tensor,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, such as `INVALID_ARGUMENT`.
    pub code: String,
    /// What the client was told.
    pub message: String,
}

impl Record {
    /// About the bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        /// Levels, lengths and the numbers of a row, generously.
        const ROW: usize = 256;
        const TENSOR: usize = 64;
        let outputs = self.answer.as_ref().map(Vec::as_slice).unwrap_or_default();
        let tensors = self.inputs.iter().chain(outputs).map(|NamedTensor { name, tensor }| {
            TENSOR + name.len() + 16 * tensor.shape().len() + tensor.data().len()
        });
        let message = self.answer.as_ref().err().map_or(0, |failure| failure.message.len());
        (ROW + self.model.len() + self.request_id.len() + message + tensors.sum::<usize>()) as u64
    }
}
