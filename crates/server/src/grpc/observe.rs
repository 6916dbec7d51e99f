//! What is counted, logged and traced of a call.
//!
//! A call's status stands in the head of its answer, or else behind its messages: what the head
//! does not tell is noted when the body has said it, or when the client goes away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Code;
use tracing::Span;

use super::body::Body;
use super::health;
use crate::access::{Access, REQUEST_ID};
use crate::io::{InFlight, Watch};
use crate::trace;

/// A call under way. One that is dropped before it has ended was given up by its client.
pub(super) struct Observed {
    watch: Arc<Watch>,
    span: Span,
    access: Option<Access>,
    request_id: Option<HeaderValue>,
    arrived: Instant,
    /// `None` when it has ended, or goes on for as long as the server does.
    under_way: Option<InFlight>,
    /// Over when what goes on is to stop; only answers with more than one message have it.
    stop: Option<Stop>,
    ended: bool,
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Observed {
    pub(super) fn begin<B>(request: &Request<B>, watch: &Arc<Watch>) -> Self {
        Observed {
            watch: watch.clone(),
            span: trace::span(request),
            access: Access::begin(request, watch),
            request_id: request.headers().get(REQUEST_ID).cloned(),
            arrived: Instant::now(),
            under_way: Some(watch.request()),
            stop: None,
            ended: false,
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// The call has its answer, or the beginning of one.
    pub(super) fn answered(mut self, mut response: Response<Body>) -> Response<Body> {
        if let Some(id) = &self.request_id {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        if response.headers().contains_key(STATUS) || response.body().is_empty() {
            let code = code(response.headers());
            self.end(code);
        } else if response.body().is_unary() {
            self.end(Code::Ok);
        } else {
            let endless = response.body().is_endless();
            if endless {
                self.under_way = None;
            }
            self.stop = Some(Box::pin(stop(self.watch.clone(), endless)));
            response.body_mut().observe(self);
        }
        response
    }

    /// Ready, once, when an answer that goes on is to stop.
    pub(super) fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stop) = &mut self.stop else { return Poll::Pending };
        let polled = stop.as_mut().poll(cx);
        if polled.is_ready() {
            self.stop = None;
        }
        polled
    }

    /// The call has ended with these trailers.
    pub(super) fn end_with(&mut self, trailers: &HeaderMap) {
        self.end(code(trailers));
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.under_way = None;
        self.watch.call_ended(code);
        trace::end_call(&self.span, code);
        if let Some(access) = self.access.take() {
            access.grpc(code, self.arrived, self.request_id.as_ref());
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Waits until the connection is to end; who watches health is told of that first.
async fn stop(watch: Arc<Watch>, endless: bool) {
    watch.finishing().await;
    if endless {
        tokio::time::sleep(health::PERIOD + Duration::from_millis(50)).await;
    }
}

const STATUS: &str = "grpc-status";

/// The status in these headers or trailers; unknown where there is none, as clients take it.
fn code(headers: &HeaderMap) -> Code {
    headers.get(STATUS).map_or(Code::Unknown, |status| Code::from_bytes(status.as_bytes()))
}
