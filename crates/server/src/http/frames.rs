//! Response bodies made of pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;

/// A response body of known length: the JSON head and then each binary output, none copied.
///
/// hyper writes the pieces with one vectored call.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// In reverse, so that the next one is popped.
    pieces: SmallVec<[Bytes; 2]>,
    len: u64,
}

impl Frames {
    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().rev()
    }
}

impl From<SmallVec<[Bytes; 2]>> for Frames {
    fn from(mut pieces: SmallVec<[Bytes; 2]>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        pieces.reverse();
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        Frames { pieces, len }
    }
}

impl From<Bytes> for Frames {
    fn from(piece: Bytes) -> Self {
        Frames::from(SmallVec::from_iter([piece]))
    }
}

impl From<Vec<u8>> for Frames {
    fn from(piece: Vec<u8>) -> Self {
        Frames::from(Bytes::from(piece))
    }
}

impl From<&'static str> for Frames {
    fn from(piece: &'static str) -> Self {
        Frames::from(Bytes::from_static(piece.as_bytes()))
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop();
        self.len -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
