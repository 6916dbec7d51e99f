//! Content codings: gzip and deflate, for bodies over REST and messages over gRPC.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use modelyard_serving::{ErrorCode, InferError};
use modelyard_tensor::Rope;

use crate::Limits;

/// A way to make a body smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950: zlib around deflate.
    Deflate,
}

impl Coding {
    /// The coding of this name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"gzip") {
            Some(Coding::Gzip)
        } else if name.eq_ignore_ascii_case(b"deflate") {
            Some(Coding::Deflate)
        } else {
            None
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    /// Undoes the coding, within the limits.
    pub(crate) fn decode(self, body: &Rope, limits: &Limits) -> Result<Rope, InferError> {
        let bound = bound(body.len(), limits);
        let chunks = Chunks { chunks: body.chunks(), position: 0 };
        match self {
            Coding::Gzip => read(MultiGzDecoder::new(chunks), self, bound),
            Coding::Deflate => read(ZlibDecoder::new(chunks), self, bound),
        }
    }

    /// Applies the coding to a body in pieces. Fast rather than small: the network between an
    /// inference server and its clients seldom is the bottleneck.
    pub(crate) fn encode<'a>(self, pieces: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
        let level = Compression::fast();
        let encoded = match self {
            Coding::Gzip => write(GzEncoder::new(Vec::new(), level), pieces)
                .and_then(|encoder| encoder.finish()),
            Coding::Deflate => write(ZlibEncoder::new(Vec::new(), level), pieces)
                .and_then(|encoder| encoder.finish()),
        };
        encoded.expect("writing to a vector does not fail").into()
    }
}

/// Most bytes that a body of `len` coded bytes may become.
fn bound(len: usize, limits: &Limits) -> usize {
    const SLACK: usize = 64 << 10;
    let by_ratio = len.saturating_mul(limits.decompression_ratio).saturating_add(SLACK);
    by_ratio.min(limits.decompressed_bytes)
}

fn read(mut decoder: impl Read, coding: Coding, bound: usize) -> Result<Rope, InferError> {
    const CHUNK: usize = 64 << 10;
    let mut body = Rope::default();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = (&mut decoder).take(CHUNK as u64).read_to_end(&mut chunk);
        read.map_err(|error| {
            let name = coding.name();
            InferError::invalid(format!("failed to decode the {name} body: {error}"))
        })?;
        if chunk.is_empty() {
            return Ok(body);
        }
        if body.len() + chunk.len() > bound {
            return Err(InferError::new(
                ErrorCode::TooLarge,
                format!("the {} body decodes to more than {bound} bytes", coding.name()),
            ));
        }
        body.push(chunk.into());
    }
}

fn write<'a, W: Write>(
    mut encoder: W,
    pieces: impl IntoIterator<Item = &'a Bytes>,
) -> io::Result<W> {
    for piece in pieces {
        encoder.write_all(piece)?;
    }
    Ok(encoder)
}

/// Reads chunks as one.
struct Chunks<'a> {
    chunks: &'a [Bytes],
    /// In the first chunk.
    position: usize,
}

impl io::BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // No chunk is empty, and `consume` moves on at the end of one.
        Ok(self.chunks.first().map_or(&[], |chunk| &chunk[self.position..]))
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
        if let Some(chunk) = self.chunks.first()
            && self.position >= chunk.len()
        {
            self.chunks = &self.chunks[1..];
            self.position = 0;
        }
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut ready = io::BufRead::fill_buf(self)?;
        let count = ready.len().min(target.len());
        ready.copy_to_slice(&mut target[..count]);
        io::BufRead::consume(self, count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rope(bytes: &[u8], chunk: usize) -> Rope {
        let mut rope = Rope::default();
        bytes.chunks(chunk.max(1)).for_each(|chunk| rope.push(Bytes::copy_from_slice(chunk)));
        rope
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(
            data in prop::collection::vec(0u8..4, 0..5000), chunk in 1usize..2000
        ) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let encoded = coding.encode(rope(&data, chunk).chunks());
                let decoded = coding.decode(&rope(&encoded, chunk), &Limits::default()).unwrap();
                prop_assert_eq!(&decoded.into_bytes()[..], &data[..]);
            }
        }

        #[test]
        fn hostile_bytes_are_refused(data in prop::collection::vec(any::<u8>(), 1..200)) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let _ = coding.decode(&rope(&data, 7), &Limits::default());
            }
        }
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = Bytes::from(vec![0; 8 << 20]);
        let limits = Limits { decompression_ratio: 100, ..Limits::default() };
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bomb = coding.encode([&zeros]);
            let error = coding.decode(&bomb.into(), &limits).unwrap_err();
            assert_eq!(error.code, ErrorCode::TooLarge);
        }
    }

    #[test]
    fn cut_off_bodies_are_refused() {
        let whole = Coding::Gzip.encode([&Bytes::from_static(b"some body that is cut off")]);
        let half = whole.slice(..whole.len() / 2);
        let error = Coding::Gzip.decode(&half.into(), &Limits::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }
}
