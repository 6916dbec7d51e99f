//! One span a request, below the caller's where it sends a W3C `traceparent`.
//!
//! Whoever subscribes to [`TARGET`] reads the header's text from the field `traceparent`. While
//! nobody does, a span costs one look at a cached flag.

use http::{HeaderName, Request, StatusCode};
use tonic::Code;
use tracing::field::Empty;

use crate::error::grpc_name;

/// The target of these spans.
pub const TARGET: &str = "modelyard::request";

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The span of a request.
pub(crate) fn span<B>(request: &Request<B>) -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        "request",
        method = request.method().as_str(),
        path = request.uri().path(),
        traceparent = request.headers().get(TRACE_PARENT).and_then(|value| value.to_str().ok()),
        status = Empty,
        grpc_status = Empty,
        error = Empty,
    )
}

/// Notes how a gRPC call ended.
///
/// An error of the server is what OpenTelemetry's conventions for gRPC count as one.
pub(crate) fn end_call(span: &tracing::Span, code: Code) {
    span.record("grpc_status", code as i32);
    let ours = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if ours {
        span.record("error", grpc_name(code));
    }
}

/// Notes how a request over HTTP ended.
pub(crate) fn end(span: &tracing::Span, status: StatusCode) {
    span.record("status", status.as_u16());
    if status.is_server_error() {
        span.record("error", status.canonical_reason().unwrap_or("server error"));
    }
}
