//! Answers that are errors.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use modelyard_serving::{ErrorCode, InferError};

use super::{Frames, JSON};
use crate::error::wire;
use crate::json::{self, JsonError};
use crate::wording;

/// Why a request is not answered, as the client gets to see it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What kind of failure.
    pub(crate) code: ErrorCode,
    /// The status where it says more than the code's.
    status: Option<StatusCode>,
    /// What the client is told.
    pub(crate) message: Cow<'static, str>,
    retry_after: Option<Duration>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A wrong request.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        InferError::invalid(message).into()
    }

    /// What stands for an input in JSON is not what it takes; its name may come later.
    pub(crate) fn of_input(name: Option<&str>, error: JsonError) -> Self {
        match name.filter(|_| error.is_json) {
            Some(name) => Refusal::invalid(format!("input '{}': {error}", wording::shown(name))),
            None => error.into(),
        }
    }

    /// Something over its limit.
    pub(crate) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        InferError::new(ErrorCode::TooLarge, message).into()
    }

    /// A path that exists, under other methods.
    pub(crate) fn method(allow: &str) -> Self {
        let message = format!("this path takes only {allow}");
        Refusal {
            status: Some(StatusCode::METHOD_NOT_ALLOWED),
            header: HeaderValue::from_str(allow).ok().map(|allow| (ALLOW, allow)),
            ..Refusal::invalid(message)
        }
    }

    /// A content coding that is not spoken.
    pub(crate) fn coding(coding: &str) -> Self {
        let message =
            format!("unknown content coding '{}', expected gzip or deflate", coding.escape_debug());
        Refusal {
            header: Some((ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"))),
            ..InferError::new(ErrorCode::UnsupportedMedia, message).into()
        }
    }

    /// A body that does not come, or too slowly.
    pub(crate) fn slow_body() -> Self {
        Refusal {
            status: Some(StatusCode::REQUEST_TIMEOUT),
            ..Refusal::invalid("the body came too slowly")
        }
    }

    /// The same, where waiting does not help.
    pub(crate) fn for_good(self) -> Self {
        Refusal { retry_after: None, ..self }
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response<Frames> {
        let mut body = Vec::with_capacity(self.message.len() + 16);
        body.extend_from_slice(b"{\"error\":");
        json::string(&mut body, &self.message);
        body.push(b'}');
        let mut response = Response::new(Frames::from(body));
        *response.status_mut() = self.status.unwrap_or(wire(self.code).http);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1) as u64;
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}

impl From<InferError> for Refusal {
    fn from(error: InferError) -> Self {
        // Every refusal that invites another try says when.
        let default = error.code.is_retryable().then_some(Duration::from_secs(1));
        Refusal {
            code: error.code,
            status: None,
            message: error.message,
            retry_after: error.retry_after.or(default),
            header: None,
        }
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        match error.is_json {
            true => Refusal::invalid(error.to_string()),
            false => Refusal::invalid(format!("invalid JSON: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_json_with_one_member() {
        let response = Refusal::invalid("no \"such\" thing").into_response();
        assert_eq!(response.status(), 400);
        let body: Vec<u8> = response.into_body().pieces().flatten().copied().collect();
        assert_eq!(body, br#"{"error":"no \"such\" thing"}"#);
    }

    #[test]
    fn what_may_pass_later_says_when() {
        let error = InferError::new(ErrorCode::Overloaded, "full");
        let retry_after = |error: InferError| {
            let response = Refusal::from(error).into_response();
            response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(retry_after(error.clone()).as_deref(), Some("1"));
        let later = error.retry_after(Duration::from_millis(2001));
        assert_eq!(retry_after(later).as_deref(), Some("3"));
        assert_eq!(retry_after(InferError::invalid("wrong")), None);
    }
}
