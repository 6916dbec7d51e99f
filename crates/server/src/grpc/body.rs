//! Response bodies: framed messages, then trailers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame};
use modelyard_serving::InferError;
use tonic::Status;

use super::encode::Pieces;
use super::observe::Observed;
use super::status::status;
use super::stream::Answers;
use crate::http::Coding;

/// The body of an answer.
#[derive(Default)]
pub(crate) struct Body {
    kind: Kind,
    /// Told how the call ends, where only the body knows.
    observed: Option<Box<Observed>>,
}

#[derive(Default)]
enum Kind {
    /// Nothing: the status is in the headers.
    #[default]
    Empty,
    /// The pieces of one message in reverse, then that all went well.
    Answer(Pieces),
    /// Answers as they come.
    Stream(Box<Answers>),
    /// What tonic says.
    Tonic(tonic::body::Body),
    /// That the server is stopping.
    Stopped,
}

impl Body {
    /// One message.
    pub(super) fn answer(mut pieces: Pieces) -> Self {
        pieces.reverse();
        Kind::Answer(pieces).into()
    }

    /// Many messages.
    pub(super) fn stream(answers: Answers) -> Self {
        Kind::Stream(Box::new(answers)).into()
    }

    /// Whether it is nothing: then the head says it all.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.kind, Kind::Empty)
    }

    /// Whether it is one message, which tells that the call went well.
    pub(super) fn is_unary(&self) -> bool {
        matches!(self.kind, Kind::Answer(_))
    }

    /// Whether it may go on for ever (health is watched so): then nobody waits for its end.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self.kind, Kind::Tonic(_))
    }

    /// Tells `observed` when and how the body ends.
    pub(super) fn observe(&mut self, observed: Observed) {
        self.observed = Some(Box::new(observed));
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Body { kind, observed: None }
    }
}

impl From<tonic::body::Body> for Body {
    fn from(body: tonic::body::Body) -> Self {
        Kind::Tonic(body).into()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let mut polled = this.kind.poll_frame(cx);
        if let Some(observed) = &mut this.observed {
            if polled.is_pending() && observed.poll_stop(cx).is_ready() {
                this.kind.stop();
                polled = this.kind.poll_frame(cx);
            }
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        observed.end_with(trailers);
                    }
                }
                Poll::Ready(None) => observed.end_with(&HeaderMap::new()),
                Poll::Ready(Some(Err(_))) | Poll::Pending => {}
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Answer(_) | Kind::Stream(_) | Kind::Stopped => false,
            Kind::Tonic(body) => body.is_end_stream(),
        }
    }
}

impl Kind {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self {
            Kind::Empty => Poll::Ready(None),
            Kind::Answer(pieces) => {
                let frame = match pieces.pop() {
                    Some(piece) => Frame::data(piece),
                    None => {
                        *self = Kind::Empty;
                        Frame::trailers(success())
                    }
                };
                Poll::Ready(Some(Ok(frame)))
            }
            Kind::Stream(answers) => answers.poll_frame(cx).map(|frame| frame.map(Ok)),
            Kind::Tonic(body) => Pin::new(body).poll_frame(cx),
            Kind::Stopped => {
                *self = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::trailers(trailers(&stopping())))))
            }
        }
    }

    /// Ends what goes on, after what is under way.
    fn stop(&mut self) {
        match self {
            Kind::Empty | Kind::Answer(_) | Kind::Stopped => {}
            Kind::Stream(answers) => answers.break_off(&stopping()),
            Kind::Tonic(_) => *self = Kind::Stopped,
        }
    }
}

fn stopping() -> InferError {
    InferError::unavailable("the server is stopping")
}

/// The trailers of a call that failed.
pub(super) fn trailers(error: &InferError) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Fails for texts that no header can hold; these are percent-encoded, so there are none.
    let _ = status(error).add_header(&mut trailers);
    trailers
}

/// The trailers of a call that went well.
pub(super) fn success() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// The same message compressed.
pub(super) fn compress(coding: Coding, mut pieces: Pieces) -> Pieces {
    const HEAD: usize = 5;
    if let Some(first) = pieces.first_mut() {
        // The first piece begins with the frame's head, which stays outside.
        *first = first.slice(HEAD..);
    }
    let message = coding.encode(&pieces);
    let mut head = BytesMut::with_capacity(HEAD);
    head.put_u8(1);
    head.put_u32(u32::try_from(message.len()).expect("messages are below 4 GiB, compressed too"));
    Pieces::from_iter([head.freeze(), message])
}
