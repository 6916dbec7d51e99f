//! Error codes on the wire, in one table.

use http::StatusCode;
use modelyard_serving::{ErrorCode, FailureReason};
use tonic::Code;

/// What a code means on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Status over HTTP.
    pub http: StatusCode,
    /// Status over gRPC.
    pub grpc: Code,
    /// Where it counts in `nv_inference_request_failure`.
    pub reason: FailureReason,
}

/// The table.
///
/// 499 for a caller who went away is nginx's convention: nobody reads it but logs and metrics.
/// A body over its limit is `OUT_OF_RANGE` over gRPC, as tonic itself says of long messages;
/// `RESOURCE_EXHAUSTED` would invite a retry that cannot succeed.
pub fn wire(code: ErrorCode) -> Wire {
    use FailureReason::{Backend, Canceled, Other, Rejected};
    let (http, grpc, reason) = match code {
        ErrorCode::InvalidArgument => (StatusCode::BAD_REQUEST, Code::InvalidArgument, Other),
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, Code::NotFound, Other),
        ErrorCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, Other),
        ErrorCode::Overloaded => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, Rejected),
        ErrorCode::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, Rejected),
        ErrorCode::StandsBy => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, Rejected),
        ErrorCode::OutOfMemory => {
            (StatusCode::INSUFFICIENT_STORAGE, Code::ResourceExhausted, Rejected)
        }
        ErrorCode::DeadlineExceeded => {
            (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded, Rejected)
        }
        ErrorCode::Cancelled => (client_closed_request(), Code::Cancelled, Canceled),
        ErrorCode::UnsupportedMedia => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented, Other)
        }
        ErrorCode::Unimplemented => (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented, Other),
        ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, Backend),
    };
    Wire { http, grpc, reason }
}

/// The name that the gRPC specification has for a code.
pub(crate) fn grpc_name(code: Code) -> &'static str {
    GRPC_NAMES[code as usize]
}

/// Names of all gRPC codes, from 0 on.
pub(crate) const GRPC_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).expect("499 is between 100 and 999")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_place() {
        let table: Vec<(u16, i32, &str)> = ErrorCode::ALL
            .into_iter()
            .map(wire)
            .map(|wire| (wire.http.as_u16(), wire.grpc as i32, wire.reason.name()))
            .collect();
        // The numbers of the gRPC specification and of RFC 9110.
        let expected = [
            (400, 3, "OTHER"),
            (404, 5, "OTHER"),
            (413, 11, "OTHER"),
            (429, 8, "REJECTED"),
            (503, 14, "REJECTED"),
            (503, 14, "REJECTED"),
            (507, 8, "REJECTED"),
            (504, 4, "REJECTED"),
            (499, 1, "CANCELED"),
            (415, 12, "OTHER"),
            (501, 12, "OTHER"),
            (500, 13, "BACKEND"),
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn only_what_may_pass_later_invites_a_retry() {
        for code in ErrorCode::ALL {
            let inviting = matches!(wire(code).http.as_u16(), 429 | 503);
            assert_eq!(inviting, code.is_retryable(), "{code:?}");
        }
    }
}
