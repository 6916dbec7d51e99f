//! Where the body of an HTTP/1.1 answer ends, told piece by piece.

use super::caller::Failure;

/// How an answer says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes.
    Known(usize),
    /// In chunks, each with its size.
    Chunked,
    /// When the connection ends.
    UntilClose,
}

/// Finds the end of a body in pieces as they come.
pub(super) enum BodyEnd {
    Known { left: usize },
    Chunked(ChunkState),
    UntilClose,
}

/// Where in a chunked body the last piece ended.
pub(super) enum ChunkState {
    /// In the line with the size: its digits so far, and whether they have ended.
    Size { size: usize, ended: bool },
    /// In the data, with the line end that follows it.
    Data { left: usize },
    /// In the lines after the last chunk: length of the current one.
    Trailer { length: usize },
}

impl BodyEnd {
    /// The end of a body that begins now.
    pub(super) fn new(length: Length) -> Self {
        match length {
            Length::Known(left) => BodyEnd::Known { left },
            Length::Chunked => BodyEnd::Chunked(ChunkState::Size { size: 0, ended: false }),
            Length::UntilClose => BodyEnd::UntilClose,
        }
    }

    /// Whether the body ends with this piece, which nothing may follow.
    pub(super) fn reached(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        const SURPLUS: Failure = Failure::Malformed("bytes after the body");
        match self {
            BodyEnd::UntilClose => Ok(false),
            BodyEnd::Known { left } => {
                *left = left.checked_sub(piece.len()).ok_or(SURPLUS)?;
                Ok(*left == 0)
            }
            BodyEnd::Chunked(state) => match state.advance(piece)? {
                Some(rest) if rest > 0 => Err(SURPLUS),
                found => Ok(found.is_some()),
            },
        }
    }
}

impl ChunkState {
    /// Moves on over a piece; when the body ends in it, says how many bytes are left over.
    fn advance(&mut self, mut piece: &[u8]) -> Result<Option<usize>, Failure> {
        while let Some((&byte, rest)) = piece.split_first() {
            match self {
                ChunkState::Data { left: 0 } => {
                    *self = ChunkState::Size { size: 0, ended: false };
                    continue;
                }
                ChunkState::Data { left } => {
                    let skipped = piece.len().min(*left);
                    *left -= skipped;
                    piece = &piece[skipped..];
                    continue;
                }
                ChunkState::Size { size: 0, .. } if byte == b'\n' => {
                    *self = ChunkState::Trailer { length: 0 };
                }
                ChunkState::Size { size, .. } if byte == b'\n' => {
                    *self = ChunkState::Data { left: *size + 2 };
                }
                ChunkState::Size { size, ended } => match char::from(byte).to_digit(16) {
                    Some(digit) if !*ended => {
                        let grown = size.checked_mul(16).filter(|grown| *grown < 1 << 40);
                        *size = grown.ok_or(Failure::Malformed("chunk size"))? + digit as usize;
                    }
                    _ => *ended = true,
                },
                ChunkState::Trailer { length: 0 } if byte == b'\n' => return Ok(Some(rest.len())),
                ChunkState::Trailer { length } if byte == b'\n' => *length = 0,
                ChunkState::Trailer { length } => *length += usize::from(byte != b'\r'),
            }
            piece = rest;
        }
        Ok(None)
    }
}

/// A chunked body without its framing.
pub(super) fn dechunked(pieces: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(pieces.len());
    let mut rest = pieces;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let digits = rest[..end].split(|byte| !byte.is_ascii_hexdigit()).next();
        let digits = std::str::from_utf8(digits.unwrap_or_default()).unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).unwrap_or(0);
        let chunk = rest.get(end + 1..).unwrap_or_default();
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        match size.checked_add(2).and_then(|skipped| chunk.get(skipped..)) {
            Some(next) if size > 0 => rest = next,
            _ => break,
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(dechunked(b"5;x\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), b"hello!");
        assert_eq!(dechunked(b"ffffffffffffffff\r\nhe"), b"he");
    }
}
