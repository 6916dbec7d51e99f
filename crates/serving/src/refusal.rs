//! What a version answers when it cannot answer.

use std::time::Duration;

use modelyard_engine::RunError;

use crate::batch::BatchError;
use crate::{ErrorCode, InferError, Version};

/// Bounds of the hint when to come back.
const RETRY_SOONEST: Duration = Duration::from_secs(1);
const RETRY_LATEST: Duration = Duration::from_secs(60);

impl Version {
    /// The error of a request whose batch failed. The log gets the engine's whole text.
    pub(crate) fn run_failed(&self, error: &BatchError) -> InferError {
        let model = self.model();
        match error {
            BatchError::Run(RunError::Inputs(message)) => {
                tracing::debug!(model, message, "the engine refused the inputs");
                let told = for_client(message);
                InferError::invalid(format!("model '{model}' refused the inputs: {told}"))
            }
            BatchError::Run(RunError::Failed(message)) => {
                tracing::warn!(model, message, "the engine failed");
                InferError::internal(format!("model '{model}' failed: {}", for_client(message)))
            }
            BatchError::Run(RunError::Panicked(message)) => InferError::unavailable(format!(
                "model '{model}' cannot answer right now: {}",
                for_client(message)
            )),
            BatchError::NotDivisible { output, shape, rows } => InferError::internal(format!(
                "output '{output}' of model '{model}' has shape {shape}, expected {rows} rows"
            )),
        }
    }

    /// The refusal of a request that finds the queue full, with a hint when to come back.
    pub(crate) fn overloaded(&self) -> InferError {
        let (model, waiting) = (self.model(), self.queue().len());
        self.full(format!("the queue of model '{model}' is full with {waiting} requests"))
    }

    /// The same for a queue that is full of bytes.
    pub(crate) fn overloaded_with_bytes(&self) -> InferError {
        let model = self.model();
        self.full(format!("the queue of model '{model}' holds as many bytes as it may"))
    }

    fn full(&self, message: String) -> InferError {
        let backlog = self.backlog().clamp(RETRY_SOONEST, RETRY_LATEST);
        InferError::new(ErrorCode::Overloaded, message).retry_after(backlog)
    }
}

/// The refusal of a request that waited past its deadline.
pub(crate) fn deadline_exceeded(model: &str) -> InferError {
    let message = format!("the deadline passed while the request waited for model '{model}'");
    InferError::new(ErrorCode::DeadlineExceeded, message)
}

/// The refusal of a request that would wait past its deadline, or came after it (`passed`).
pub(crate) fn too_late(model: &str, wait: Duration, passed: bool) -> InferError {
    let message = if passed {
        format!("the deadline had passed before model '{model}' was asked")
    } else {
        format!("model '{model}' cannot answer before the deadline, expected wait {wait:?}")
    };
    InferError::new(ErrorCode::DeadlineExceeded, message)
}

/// An engine's text in one line, without places in its source such as `/src/ops.h:560`.
fn for_client(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words = line.split_whitespace().filter(|word| !is_source_place(word));
    words.collect::<Vec<_>>().join(" ")
}

fn is_source_place(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.trim_end_matches([':', ',', '.'])
        .rsplit_once(':')
        .is_some_and(|(path, line)| path.starts_with('/') && is_number(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_one_line_without_places_in_the_engines_source() {
        let said = "Non-zero status code returned while running Add node. Name:'a' Status \
                    Message: /onnxruntime_src/onnxruntime/core/ops.h:560 void onnxruntime::Append(\
                    ptrdiff_t) axis == 1 was false. 2 by 3\n\nStacktrace:\n/lib/x.so";
        assert_eq!(
            for_client(said),
            "Non-zero status code returned while running Add node. Name:'a' Status Message: void \
             onnxruntime::Append(ptrdiff_t) axis == 1 was false. 2 by 3"
        );
        assert_eq!(for_client("shapes [1,2] and [3] at 12:30"), "shapes [1,2] and [3] at 12:30");
    }
}
