//! gRPC's framing: messages out of a request body.
//!
//! Every message stands behind five bytes: whether it is compressed, and its length.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use modelyard_serving::{ErrorCode, InferError};
use modelyard_tensor::Rope;
use tokio::time::{Instant, Sleep};

use crate::Limits;
use crate::http::{Bodies, Coding, Hold};

/// Bytes before each message.
const HEAD: usize = 5;

/// What the messages of all calls may take.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) limits: Limits,
    pub(crate) bodies: Arc<Bodies>,
}

/// One message, and the room that it takes until it is dropped.
pub(super) struct Message {
    pub(super) bytes: Rope,
    pub(super) hold: Hold,
}

/// The messages of a request body, one after another, in the chunks they came in.
pub(super) struct Messages<B> {
    body: B,
    received: Received,
    hold: Hold,
    /// Of the message that is under way.
    head: Option<MessageHead>,
    coding: Result<Option<Coding>, InferError>,
    patience: Patience,
}

/// What the five bytes say.
#[derive(Clone, Copy)]
struct MessageHead {
    compressed: bool,
    len: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Messages<B> {
    /// The messages of `body`, whose headers these are.
    pub(super) fn new(headers: &HeaderMap, body: B) -> Self {
        Messages {
            body,
            received: Received::default(),
            hold: Hold::default(),
            head: None,
            coding: coding(headers),
            patience: Patience::default(),
        }
    }

    /// The coding that the client uses, and so understands.
    pub(super) fn coding(&self) -> Option<Coding> {
        self.coding.as_ref().ok().copied().flatten()
    }

    /// The next message, decompressed; `None` at the end of the body.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: &Room,
    ) -> Poll<Result<Option<Message>, InferError>> {
        loop {
            if let Some(message) = self.take(room)? {
                self.patience = Patience::default();
                return Poll::Ready(Ok(Some(message)));
            }
            let under_way = self.head.is_some() || !self.received.is_empty();
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.received.push(data);
                        self.hold.cover(&room.bodies, self.received.len())?;
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    let message = "the client gave the request up";
                    return Poll::Ready(Err(InferError::new(ErrorCode::Cancelled, message)));
                }
                Poll::Ready(None) if under_way => {
                    let message = "the request ends within a message";
                    return Poll::Ready(Err(InferError::invalid(message)));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending if under_way => {
                    ready!(self.patience.poll_end(cx, self.received.len(), &room.limits));
                    return Poll::Ready(Err(InferError::new(
                        ErrorCode::DeadlineExceeded,
                        "the message came in too slowly",
                    )));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next message where all of it is there.
    fn take(&mut self, room: &Room) -> Result<Option<Message>, InferError> {
        let limits = &room.limits;
        let head = match self.head {
            Some(head) => head,
            None => match self.received.take(HEAD) {
                Some(bytes) => *self.head.insert(MessageHead::read(&bytes.into_bytes(), limits)?),
                None => return Ok(None),
            },
        };
        let Some(bytes) = self.received.take(head.len) else { return Ok(None) };
        self.head = None;
        let mut message = Message { bytes, hold: std::mem::take(&mut self.hold) };
        if head.compressed {
            let coding = self.coding.clone()?.ok_or_else(|| {
                InferError::invalid(
                    "the message is marked as compressed, but the request has no grpc-encoding",
                )
            })?;
            message.bytes = coding.decode(&message.bytes, limits)?;
            message.hold.add(&room.bodies, message.bytes.len())?;
        }
        Ok(Some(message))
    }
}

impl MessageHead {
    fn read(bytes: &[u8], limits: &Limits) -> Result<Self, InferError> {
        let &[compressed @ 0..=1, a, b, c, d] = bytes else {
            return Err(InferError::invalid("the request body is not framed as gRPC has it"));
        };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if len > limits.body_bytes {
            return Err(InferError::new(
                ErrorCode::TooLarge,
                format!(
                    "the message has {len} bytes, but limits.body_bytes is {}",
                    limits.body_bytes
                ),
            ));
        }
        Ok(MessageHead { compressed: compressed == 1, len })
    }
}

/// The coding that `grpc-encoding` names.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, InferError> {
    let Some(name) = headers.get("grpc-encoding") else { return Ok(None) };
    match (Coding::named(name.as_bytes()), name.as_bytes()) {
        (Some(coding), _) => Ok(Some(coding)),
        (None, b"identity") => Ok(None),
        (None, _) => Err(InferError::new(
            ErrorCode::Unimplemented,
            "the message is compressed in an unknown way: expected gzip or deflate",
        )),
    }
}

/// Bytes received and not yet taken.
///
/// Large chunks are kept as they are. Small ones are joined: a chunk costs more memory than the
/// few bytes that a hostile client may put into each.
#[derive(Default)]
struct Received {
    chunks: Rope,
    small: BytesMut,
}

impl Received {
    /// Chunks smaller than this are joined, unless they are the first.
    const SMALL: usize = 2048;

    fn len(&self) -> usize {
        self.chunks.len() + self.small.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, chunk: Bytes) {
        if self.is_empty() || chunk.len() >= Self::SMALL {
            self.flush();
            self.chunks.push(chunk);
        } else {
            self.small.extend_from_slice(&chunk);
        }
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }

    /// The first `count` bytes, where they are there.
    fn take(&mut self, count: usize) -> Option<Rope> {
        if count > self.len() {
            return None;
        }
        if count > self.chunks.len() {
            self.flush();
        }
        self.chunks.split_to(count)
    }
}

/// How long the rest of a message may take. Costs nothing when the message is there at once.
#[derive(Default)]
struct Patience(Option<(Instant, Pin<Box<Sleep>>)>);

impl Patience {
    /// Ready when a message of which `received` bytes are there has taken too long.
    fn poll_end(&mut self, cx: &mut Context<'_>, received: usize, limits: &Limits) -> Poll<()> {
        let (since, sleep) = self.0.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + limits.body_timeout)))
        });
        loop {
            ready!(sleep.as_mut().poll(cx));
            let granted = received as f64 / f64::from(limits.body_bytes_per_second.max(1));
            let end = *since + limits.body_timeout + std::time::Duration::from_secs_f64(granted);
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http_body::Frame;
    use proptest::prelude::*;

    use super::*;

    /// A body that gives these chunks.
    struct Chunks(VecDeque<Bytes>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
        }
    }

    fn room(limits: Limits) -> Room {
        Room { bodies: Bodies::new(limits.all_bodies_bytes), limits }
    }

    fn frame(compressed: bool, message: &[u8]) -> Vec<u8> {
        let mut frame = vec![u8::from(compressed)];
        frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(message);
        frame
    }

    fn read(
        headers: &HeaderMap,
        body: &[u8],
        chunk: usize,
        room: &Room,
    ) -> (Vec<Bytes>, Option<InferError>) {
        let chunks = body.chunks(chunk).map(Bytes::copy_from_slice).collect();
        let mut messages = Messages::new(headers, Chunks(chunks));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut read = Vec::new();
        loop {
            match messages.poll_next(&mut cx, room) {
                Poll::Ready(Ok(Some(message))) => read.push(message.bytes.into_bytes()),
                Poll::Ready(Ok(None)) => return (read, None),
                Poll::Ready(Err(error)) => return (read, Some(error)),
                Poll::Pending => panic!("the body is always ready"),
            }
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..4),
            chunk in 1usize..5000,
            compressed: bool,
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-encoding", http::HeaderValue::from_static("gzip"));
            let mut body = Vec::new();
            for message in &messages {
                let message = Bytes::copy_from_slice(message);
                let sent = if compressed { Coding::Gzip.encode([&message]) } else { message };
                body.extend(frame(compressed, &sent));
            }
            let (read, error) = read(&headers, &body, chunk, &room(Limits::default()));
            prop_assert!(error.is_none());
            prop_assert_eq!(read, messages);
        }
    }

    #[test]
    fn wrong_bodies_are_refused() {
        let check = |headers: &HeaderMap, body: &[u8], expected: ErrorCode| {
            let limits = Limits { body_bytes: 10, ..Limits::default() };
            let (messages, error) = read(headers, body, 4, &room(limits));
            assert!(messages.is_empty());
            assert_eq!(error.map(|error| error.code), Some(expected));
        };
        let mut unknown = HeaderMap::new();
        unknown.insert("grpc-encoding", http::HeaderValue::from_static("zstd"));
        let none = HeaderMap::new();
        check(&none, &frame(false, &[0; 11]), ErrorCode::TooLarge);
        check(&none, &frame(false, &[0; 9])[..12], ErrorCode::InvalidArgument);
        check(&none, &[0, 0], ErrorCode::InvalidArgument);
        check(&none, &[2, 0, 0, 0, 0], ErrorCode::InvalidArgument);
        check(&none, &frame(true, &[0; 9]), ErrorCode::InvalidArgument);
        check(&unknown, &frame(true, &[0; 9]), ErrorCode::Unimplemented);
    }

    #[test]
    fn all_messages_together_have_a_bound() {
        let limits = Limits { all_bodies_bytes: 100 << 10, ..Limits::default() };
        let room = room(limits);
        let body = frame(false, &[0; 150 << 10]);
        let none = HeaderMap::new();
        let held = {
            let chunks = [Bytes::copy_from_slice(&body)].into();
            let mut messages = Messages::new(&none, Chunks(chunks));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            match messages.poll_next(&mut cx, &room) {
                Poll::Ready(Ok(Some(message))) => message,
                _ => panic!("the message fits"),
            }
        };
        let (read_meanwhile, error) = read(&none, &body, 9000, &room);
        assert!(read_meanwhile.is_empty());
        assert_eq!(error.map(|error| error.code), Some(ErrorCode::Unavailable));
        drop(held);
        assert_eq!(read(&none, &body, 9000, &room).0.len(), 1);
    }

    #[test]
    fn many_small_chunks_are_joined() {
        let mut received = Received::default();
        (0..1000).for_each(|_| received.push(Bytes::from_static(&[1])));
        let taken = received.take(1000).unwrap();
        assert!(taken.chunks().len() <= 2, "{} chunks", taken.chunks().len());
    }
}
