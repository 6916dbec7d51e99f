//! What a version answers when it cannot answer.

use std::time::Duration;

use modelyard_engine::RunError;

use crate::batch::BatchError;
use crate::{ErrorCode, InferError, Version};

impl Version {
    /// The error of a request whose batch failed.
    pub(crate) fn run_failed(&self, error: &BatchError) -> InferError {
        let model = self.model();
        match error {
            BatchError::Run(RunError::Inputs(message)) => {
                InferError::invalid(format!("model '{model}' refused the inputs: {message}"))
            }
            BatchError::Run(RunError::Failed(message)) => {
                InferError::internal(format!("model '{model}' failed: {message}"))
            }
            BatchError::Run(RunError::Panicked(message)) => InferError::unavailable(format!(
                "model '{model}' cannot answer right now: {message}"
            )),
            BatchError::NotDivisible { output, shape, rows } => InferError::internal(format!(
                "output '{output}' of model '{model}' has shape {shape}, expected {rows} rows"
            )),
        }
    }

    /// The refusal of a request that finds the queue full, with a hint when to come back.
    pub(crate) fn overloaded(&self) -> InferError {
        let waiting = self.queue().len();
        InferError::new(
            ErrorCode::Overloaded,
            format!("the queue of model '{}' is full with {waiting} requests", self.model()),
        )
        .retry_after(Duration::from_secs(1))
    }
}

/// The refusal of a request that waited, or would wait, past its deadline.
pub(crate) fn deadline_exceeded(model: &str) -> InferError {
    let message = format!("the deadline passed while the request waited for model '{model}'");
    InferError::new(ErrorCode::DeadlineExceeded, message)
}
