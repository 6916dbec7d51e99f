//! `ModelStreamInfer`: many inferences over one call.
//!
//! As in Triton, requests run side by side, but are answered in the order they came; a request
//! that fails is answered with an error text and its id, and the stream goes on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::FuturesOrdered;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use modelyard_serving::InferError;

use super::body::{self, Body};
use super::encode::{self, Pieces};
use super::framing::{Message, Messages};
use super::infer::{self, Call, Inference};
use super::status::refusal;
use crate::http::Coding;

/// Most requests of one stream under way; further ones wait in the network.
const UNDER_WAY: usize = 64;

/// Answers a `ModelStreamInfer` call.
pub(super) fn answer(inference: &Arc<Inference>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let deadline = match infer::deadline(&head.headers, Instant::now()) {
        Ok(deadline) => deadline,
        Err(error) => return refusal(&error),
    };
    let messages = Messages::new(&head.headers, body);
    infer::ok(messages.coding(), |coding| {
        Body::stream(Answers {
            inference: inference.clone(),
            deadline,
            headers: Arc::new(head.headers),
            coding,
            messages: Some(messages),
            under_way: FuturesOrdered::new(),
            bytes_under_way: 0,
            pieces: Pieces::new(),
            end: Some(body::success()),
        })
    })
}

/// The answers of one stream. Dropping it gives up what is under way.
pub(super) struct Answers {
    inference: Arc<Inference>,
    deadline: Option<Instant>,
    headers: Arc<HeaderMap>,
    coding: Option<Coding>,
    /// `None` when the client has sent its last request.
    messages: Option<Messages<Incoming>>,
    under_way: FuturesOrdered<Pin<Box<dyn Future<Output = Answered> + Send>>>,
    /// Bytes of the requests under way.
    bytes_under_way: usize,
    /// Of the answer that is being sent, in reverse.
    pieces: Pieces,
    /// What ends the stream; `None` when that has been sent.
    end: Option<HeaderMap>,
}

/// The answer to one request.
struct Answered {
    /// Bytes of the request.
    request_bytes: usize,
    pieces: Pieces,
}

impl Answers {
    /// The next piece of an answer, at last the trailers.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            if let Some(piece) = self.pieces.pop() {
                return Poll::Ready(Some(Frame::data(piece)));
            }
            let more_may_come = self.read(cx);
            match Pin::new(&mut self.under_way).poll_next(cx) {
                Poll::Ready(Some(answered)) => {
                    self.bytes_under_way -= answered.request_bytes;
                    self.pieces = answered.pieces;
                    self.pieces.reverse();
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) if more_may_come => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(self.end.take().map(Frame::trailers)),
            }
        }
    }

    /// Takes in the requests that are there, as far as there is room; says whether more may come.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let inference = self.inference.clone();
        let room = &inference.room;
        while let Some(messages) = &mut self.messages {
            let full =
                self.under_way.len() >= UNDER_WAY || self.bytes_under_way >= room.limits.body_bytes;
            if full {
                return true;
            }
            match messages.poll_next(cx, room) {
                Poll::Pending => return true,
                Poll::Ready(Ok(Some(message))) => self.start(message),
                Poll::Ready(Ok(None)) => self.messages = None,
                Poll::Ready(Err(error)) => self.break_off(&error),
            }
        }
        false
    }

    fn start(&mut self, message: Message) {
        let (inference, coding) = (self.inference.clone(), self.coding);
        let headers = self.headers.clone();
        let call = Call { arrived: Instant::now(), deadline: self.deadline, streamed: true };
        let request_bytes = message.bytes.len();
        self.bytes_under_way += request_bytes;
        self.under_way.push_back(Box::pin(async move {
            let Message { bytes, hold: _hold } = message;
            let pieces = match inference.infer(bytes, call, &headers).await {
                Ok(pieces) => pieces,
                Err(refused) => encode::stream_error(&refused.error.message, &refused.id),
            };
            let pieces = match coding {
                Some(coding) => body::compress(coding, pieces),
                None => pieces,
            };
            Answered { request_bytes, pieces }
        }));
    }

    /// What follows is not read: the stream ends when what came before is answered.
    pub(super) fn break_off(&mut self, error: &InferError) {
        self.messages = None;
        self.end = Some(body::trailers(error));
    }
}
