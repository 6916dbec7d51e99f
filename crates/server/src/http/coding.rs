//! Content codings: gzip and deflate, for bodies over REST and messages over gRPC.
//!
//! Both directions are bounded, and over REST they give way to other connections of the thread
//! between steps.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
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
        let mut decoding = Decoding::new(self, body, limits);
        while decoding.step()? {}
        Ok(decoding.body)
    }

    /// The same, giving way to other tasks now and then.
    pub(crate) async fn decode_in_steps(
        self,
        body: &Rope,
        limits: &Limits,
    ) -> Result<Rope, InferError> {
        let mut decoding = Decoding::new(self, body, limits);
        while decoding.step()? {
            tokio::task::yield_now().await;
        }
        Ok(decoding.body)
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

/// The coding that the client would like its answer in, if any of ours.
pub(crate) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let wanted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
    let mut best: Option<(f32, Coding)> = None;
    let mut plain = 0.0;
    for item in wanted.split(',') {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let quality = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok());
        let quality = quality.unwrap_or(0.0);
        let name = name.trim();
        match Coding::named(name.as_bytes()) {
            Some(coding) if quality > best.map_or(0.0, |(best, _)| best) => {
                best = Some((quality, coding));
            }
            None if name.eq_ignore_ascii_case("identity") => plain = quality,
            _ => {}
        }
    }
    best.filter(|(quality, _)| *quality >= plain).map(|(_, coding)| coding)
}

/// Whether a deflate body has the zlib header that the standard asks for; some clients send none.
fn is_zlib(body: &Rope) -> bool {
    let mut head = body.chunks().iter().flatten().take(2);
    match (head.next(), head.next()) {
        (Some(method), Some(flags)) => {
            method & 15 == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31)
        }
        _ => false,
    }
}

/// A coding being undone.
struct Decoding<'a> {
    reader: Box<dyn Read + Send + 'a>,
    coding: Coding,
    bound: usize,
    body: Rope,
}

impl<'a> Decoding<'a> {
    fn new(coding: Coding, body: &'a Rope, limits: &Limits) -> Self {
        let chunks = Chunks { chunks: body.chunks(), position: 0 };
        let reader: Box<dyn Read + Send> = match coding {
            Coding::Gzip => Box::new(MultiGzDecoder::new(chunks)),
            Coding::Deflate if is_zlib(body) => Box::new(ZlibDecoder::new(chunks)),
            Coding::Deflate => Box::new(DeflateDecoder::new(chunks)),
        };
        Decoding { reader, coding, bound: limits.decompressed_bytes, body: Rope::default() }
    }

    /// Decodes a piece; false at the end.
    fn step(&mut self) -> Result<bool, InferError> {
        const CHUNK: usize = 64 << 10;
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = (&mut self.reader).take(CHUNK as u64).read_to_end(&mut chunk);
        read.map_err(|error| {
            let name = self.coding.name();
            InferError::invalid(format!("failed to decode the {name} body: {error}"))
        })?;
        if self.body.len() + chunk.len() > self.bound {
            let (name, bound) = (self.coding.name(), self.bound);
            let message = format!(
                "the {name} body decodes to more than the {bound} bytes of \
                 limits.decompressed_bytes"
            );
            return Err(InferError::new(ErrorCode::TooLarge, message));
        }
        let more = !chunk.is_empty();
        self.body.push(chunk.into());
        Ok(more)
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
    use crate::hostile;

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
    }

    #[test]
    fn hostile_bodies_are_decoded_or_refused() {
        let limits = Limits { decompressed_bytes: 16 << 10, ..Limits::default() };
        hostile::feed("coding", |bytes| {
            let body = rope(bytes, 7);
            let decode = |coding: Coding| coding.decode(&body, &limits).map(drop);
            decode(Coding::Gzip).or(decode(Coding::Deflate))
        });
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = Bytes::from(vec![0; 8 << 20]);
        let limits = Limits { decompressed_bytes: 1 << 20, ..Limits::default() };
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bomb = coding.encode([&zeros]);
            let error = coding.decode(&bomb.into(), &limits).unwrap_err();
            assert_eq!(error.code, ErrorCode::TooLarge);
        }
    }

    #[test]
    fn bare_deflate_is_understood() {
        let mut coded = Vec::new();
        flate2::read::DeflateEncoder::new(&b"hello"[..], Compression::best())
            .read_to_end(&mut coded)
            .unwrap();
        let body = Coding::Deflate.decode(&Bytes::from(coded).into(), &Limits::default());
        assert_eq!(&body.unwrap().into_bytes()[..], b"hello");
    }

    #[test]
    fn the_coding_liked_best_is_taken() {
        let taken = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            accepted(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]))
        };
        assert_eq!(taken("gzip, deflate"), Some(Coding::Gzip));
        assert_eq!(taken("br, deflate"), Some(Coding::Deflate));
        assert_eq!(taken("gzip;q=0.5, deflate;q=0.8"), Some(Coding::Deflate));
        assert_eq!(taken("gzip;q=0"), None);
        assert_eq!(taken("identity"), None);
        assert_eq!(taken("gzip;q=0.2, identity;q=1"), None);
        assert_eq!(taken("identity, gzip"), Some(Coding::Gzip));
        assert_eq!(accepted(&HeaderMap::new()), None);
    }
}
