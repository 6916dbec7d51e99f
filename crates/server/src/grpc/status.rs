//! Errors as gRPC statuses.

use http::{HeaderValue, Response};
use modelyard_serving::InferError;
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::body::Body;
use crate::error::wire;

/// The codings that are understood, for clients whose own is not.
const ACCEPTED: &str = "gzip,deflate,identity";

/// The status of a request that failed so.
///
/// When trying again makes sense is said as gRPC's retry policy has it (`grpc-retry-pushback-ms`,
/// proposal A6), which client libraries follow by themselves.
pub(super) fn status(error: &InferError) -> Status {
    const PUSHBACK: &str = "grpc-retry-pushback-ms";
    let mut status = Status::new(wire(error.code).grpc, error.message.as_ref());
    if let Some(after) = error.retry_after {
        let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert(PUSHBACK, MetadataValue::from(milliseconds));
    }
    status
}

/// An answer that is nothing but the error.
pub(super) fn refusal(error: &InferError) -> Response<Body> {
    let mut response = status(error).into_http::<Body>();
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static(ACCEPTED));
    response
}
