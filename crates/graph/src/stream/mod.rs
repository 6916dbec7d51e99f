//! The bytes of an `.onnx` file as a list of pieces: what [`Model::encode`] makes, without a copy of
//! the weights.
//!
//! Lengths stand before what they measure in protobuf, so a message is laid out from the inside
//! out; its weights are only pointed at. `payload` knows how long each will be and writes it.

mod layout;
mod payload;

use prost::Message;

pub(crate) use layout::{Layout, Outside, lay_out};
pub(crate) use payload::Payload;

#[cfg(doc)]
use crate::Model;

/// Bytes to be written one after the other.
#[derive(Default)]
pub(crate) struct Stream<'a> {
    pieces: Vec<Piece<'a>>,
    len: u64,
}

/// A stretch of a [`Stream`].
pub(crate) enum Piece<'a> {
    /// Bytes that were made.
    Made(Vec<u8>),
    /// Elements of a tensor as they stand in protobuf.
    Payload(Payload<'a>),
}

impl<'a> Stream<'a> {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> &[Piece<'a>] {
        &self.pieces
    }

    /// The bytes at the end that may still grow.
    fn made(&mut self, add: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.pieces.last(), Some(Piece::Made(_))) {
            self.pieces.push(Piece::Made(Vec::new()));
        }
        if let Some(Piece::Made(bytes)) = self.pieces.last_mut() {
            let before = bytes.len();
            add(bytes);
            self.len += (bytes.len() - before) as u64;
        }
    }

    /// The fields that are set in `message`.
    fn fields(&mut self, message: &impl Message) {
        self.made(|bytes| bytes.extend(message.encode_to_vec()));
    }

    /// A field that is a message.
    fn message(&mut self, tag: u32, message: &impl Message) {
        self.made(|bytes| prost::encoding::message::encode(tag, message, bytes));
    }

    /// A field that is a message laid out before.
    fn nested(&mut self, tag: u32, inner: Stream<'a>) {
        self.length(tag, inner.len);
        for piece in inner.pieces {
            match piece {
                Piece::Made(added) => self.made(|bytes| bytes.extend(added)),
                Piece::Payload(payload) => self.point(payload),
            }
        }
    }

    /// A field that is the elements of a tensor.
    fn payload(&mut self, payload: Payload<'a>) {
        self.length(payload.tag(), payload.len());
        self.point(payload);
    }

    fn point(&mut self, payload: Payload<'a>) {
        self.len += payload.len();
        self.pieces.push(Piece::Payload(payload));
    }

    fn length(&mut self, tag: u32, len: u64) {
        self.made(|bytes| {
            let wire_type = prost::encoding::WireType::LengthDelimited;
            prost::encoding::encode_key(tag, wire_type, bytes);
            prost::encoding::encode_varint(len, bytes);
        });
    }
}
