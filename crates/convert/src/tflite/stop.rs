//! Why an operator was not converted or evaluated.

use crate::{ConvertError, EvaluateError};

/// Why an operator was not converted or evaluated.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something of it is not covered; the others can go on.
    Refused {
        /// What is not covered, such as `the operator`.
        reason: String,
        /// What to do instead.
        way_out: String,
    },
    /// The file is damaged.
    Failed(ConvertError),
    /// What it was given does not fit.
    Evaluation(EvaluateError),
}

impl From<ConvertError> for Stop {
    fn from(error: ConvertError) -> Stop {
        Stop::Failed(error)
    }
}

impl From<EvaluateError> for Stop {
    fn from(error: EvaluateError) -> Stop {
        Stop::Evaluation(error)
    }
}

impl From<Stop> for EvaluateError {
    fn from(stop: Stop) -> EvaluateError {
        match stop {
            Stop::Refused { reason, .. } => EvaluateError(format!("{reason} is not covered")),
            Stop::Failed(error) => EvaluateError(error.to_string()),
            Stop::Evaluation(error) => error,
        }
    }
}

/// Something is not covered.
pub(crate) fn refused(reason: impl Into<String>, way_out: impl Into<String>) -> Stop {
    Stop::Refused { reason: reason.into(), way_out: way_out.into() }
}

/// What an operator was given does not fit.
pub(crate) fn mismatch(message: impl Into<String>) -> Stop {
    Stop::Evaluation(EvaluateError(message.into()))
}
