//! What can go wrong with a request, in one list.

use std::borrow::Cow;
use std::time::Duration;

/// Every way a request can fail. Mapped to HTTP and gRPC in one table of the `server` crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request is wrong: name, datatype, shape, length, syntax. The caller's fault.
    InvalidArgument,
    /// No such model, version or route.
    NotFound,
    /// A body, tensor or header is over its limit.
    TooLarge,
    /// The queue is full: try again later, elsewhere or slower.
    Overloaded,
    /// The model or server is not ready: loading, draining, failed.
    Unavailable,
    /// The model is known but not in memory: it has to be loaded first. Adapters have that done, and
    /// ask again.
    StandsBy,
    /// The model does not fit into memory beside those that are in use.
    OutOfMemory,
    /// The answer would have come, or did come, after the deadline.
    DeadlineExceeded,
    /// The caller went away.
    Cancelled,
    /// The content coding or media type is not spoken here.
    UnsupportedMedia,
    /// A part of the protocol that is not offered.
    Unimplemented,
    /// The engine or the server failed.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 12] = [
        ErrorCode::InvalidArgument,
        ErrorCode::NotFound,
        ErrorCode::TooLarge,
        ErrorCode::Overloaded,
        ErrorCode::Unavailable,
        ErrorCode::StandsBy,
        ErrorCode::OutOfMemory,
        ErrorCode::DeadlineExceeded,
        ErrorCode::Cancelled,
        ErrorCode::UnsupportedMedia,
        ErrorCode::Unimplemented,
        ErrorCode::Internal,
    ];

    /// Its name, as records have it.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::InvalidArgument => "INVALID_ARGUMENT",
            ErrorCode::NotFound => "NOT_FOUND",
            ErrorCode::TooLarge => "TOO_LARGE",
            ErrorCode::Overloaded => "OVERLOADED",
            ErrorCode::Unavailable => "UNAVAILABLE",
            ErrorCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
            ErrorCode::StandsBy => "STANDS_BY",
            ErrorCode::OutOfMemory => "OUT_OF_MEMORY",
            ErrorCode::Cancelled => "CANCELLED",
            ErrorCode::UnsupportedMedia => "UNSUPPORTED_MEDIA",
            ErrorCode::Unimplemented => "UNIMPLEMENTED",
            ErrorCode::Internal => "INTERNAL",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, ErrorCode::Overloaded | ErrorCode::Unavailable | ErrorCode::StandsBy)
    }
}

/// Why a request was not answered. The message is for the client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct InferError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// Lower-case text for the client: what was expected, what was found.
    pub message: Cow<'static, str>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
}

impl InferError {
    /// An error without a hint when to retry.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        InferError { code, message: message.into(), retry_after: None }
    }

    /// The caller's fault.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        InferError::new(ErrorCode::InvalidArgument, message)
    }

    /// No such thing.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        InferError::new(ErrorCode::NotFound, message)
    }

    /// Not ready; worth another try in a second.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        InferError::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1))
    }

    /// Our fault.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        InferError::new(ErrorCode::Internal, message)
    }

    /// The same error with a hint when to retry.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
