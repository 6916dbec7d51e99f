//! The access log: one line a request, for whoever subscribes to the target `access`.

use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tonic::Code;

use crate::http::Frames;
use crate::io::Watch;

/// The header by which a client tells its requests apart; it comes back with the answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the line will say of a request. Made only when somebody reads it.
pub(crate) struct Access {
    peer: Option<SocketAddr>,
    method: Method,
    uri: Uri,
}

impl Access {
    pub(crate) fn begin<B>(request: &Request<B>, watch: &Watch) -> Option<Self> {
        tracing::enabled!(target: "access", tracing::Level::INFO).then(|| Access {
            peer: watch.peer(),
            method: request.method().clone(),
            uri: request.uri().clone(),
        })
    }

    /// A request over HTTP was answered so.
    pub(crate) fn http(self, response: &Response<Frames>, arrived: Instant) {
        tracing::info!(
            target: "access",
            peer = self.peer.map(tracing::field::display),
            method = self.method.as_str(),
            path = self.uri.path(),
            status = response.status().as_u16(),
            bytes = response.body().len(),
            micros = micros(arrived),
            request_id = response.headers().get(REQUEST_ID).and_then(text),
        );
    }

    /// A gRPC call ended so.
    pub(crate) fn grpc(self, code: Code, arrived: Instant, request_id: Option<&HeaderValue>) {
        tracing::info!(
            target: "access",
            peer = self.peer.map(tracing::field::display),
            method = "gRPC",
            path = self.uri.path(),
            status = crate::error::grpc_name(code),
            micros = micros(arrived),
            request_id = request_id.and_then(text),
        );
    }
}

/// Something that was no request was refused so.
pub(crate) fn garbage(watch: &Watch, status: StatusCode) {
    let peer = watch.peer().map(tracing::field::display);
    tracing::info!(target: "access", peer, status = status.as_u16());
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}
