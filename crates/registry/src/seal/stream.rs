//! A content in chunks of 1 MiB, each encrypted and authenticated on its own: STREAM (Hoang, Reyhanitabar,
//! Rogaway, Vizár, 2015) over AES-256-GCM.
//!
//! The nonce of a chunk is 7 bytes of zeros, its number (4 bytes, big-endian) and whether it is the last
//! (1 byte). So chunks that are missing, moved or cut off at the end do not decrypt. The zeros could be
//! random, but need not be: a data key encrypts one content, once.

use ring::aead::{Aad, LessSafeKey, Nonce};

use super::{DataKey, cipher};
use crate::{Digest, RegistryError};

/// Bytes of a chunk before it is encrypted.
const CHUNK_BYTES: usize = 1 << 20;
/// What encryption adds to a chunk.
const TAG_BYTES: usize = 16;

/// Encrypts a content piece by piece.
pub(crate) struct Sealing(Chunks);

/// Decrypts a content piece by piece.
pub(crate) struct Opening {
    chunks: Chunks,
    /// Of the content, for errors.
    content: Digest,
}

/// Cuts what it is given into chunks, of which the last is known by the end only.
struct Chunks {
    cipher: LessSafeKey,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    next: u32,
    has_ended: bool,
}

impl Sealing {
    pub(crate) fn new(key: &DataKey) -> Sealing {
        Sealing(Chunks::new(key, CHUNK_BYTES))
    }

    /// The size of what this many bytes become.
    pub(crate) fn size(bytes: u64) -> u64 {
        let chunks = bytes.div_ceil(CHUNK_BYTES as u64).max(1);
        bytes.saturating_add(chunks.saturating_mul(TAG_BYTES as u64))
    }

    /// Takes a piece, or the end; gives what is complete.
    pub(crate) fn push(&mut self, piece: Option<&[u8]>) -> Result<Vec<u8>, RegistryError> {
        let Sealing(chunks) = self;
        let failed = || RegistryError::Invalid("failed to encrypt a content: too large".into());
        chunks.buffer.extend_from_slice(piece.unwrap_or_default());
        let mut sealed = Vec::new();
        while let Some((nonce, mut chunk)) = chunks.cut(piece.is_none()).map_err(|_| failed())? {
            let sealing = chunks.cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut chunk);
            sealing.map_err(|_| failed())?;
            sealed.append(&mut chunk);
        }
        Ok(sealed)
    }
}

impl Opening {
    pub(crate) fn new(key: &DataKey, content: Digest) -> Opening {
        Opening { chunks: Chunks::new(key, CHUNK_BYTES + TAG_BYTES), content }
    }

    /// Takes a piece, or the end; gives what is complete and was not changed.
    pub(crate) fn push(&mut self, piece: Option<&[u8]>) -> Result<Vec<u8>, RegistryError> {
        let Opening { chunks, content } = self;
        let changed = || {
            RegistryError::Untrusted(format!(
                "content {} was tampered with or damaged: it does not decrypt",
                content.short()
            ))
        };
        chunks.buffer.extend_from_slice(piece.unwrap_or_default());
        let mut opened = Vec::new();
        while let Some((nonce, mut chunk)) = chunks.cut(piece.is_none()).map_err(|_| changed())? {
            let plain = chunks.cipher.open_in_place(nonce, Aad::empty(), &mut chunk);
            opened.extend_from_slice(plain.map_err(|_| changed())?);
        }
        Ok(opened)
    }
}

/// There are more chunks than numbers.
struct TooMany;

impl Chunks {
    fn new(key: &DataKey, chunk_bytes: usize) -> Chunks {
        let (cipher, buffer) = (cipher(key), Vec::new());
        Chunks { cipher, chunk_bytes, buffer, next: 0, has_ended: false }
    }

    /// The next chunk and its nonce, if it is complete.
    fn cut(&mut self, is_end: bool) -> Result<Option<(Nonce, Vec<u8>)>, TooMany> {
        let is_last = self.buffer.len() <= self.chunk_bytes;
        if is_last && (!is_end || self.has_ended) {
            return Ok(None);
        }
        self.has_ended = is_last;
        let rest = self.buffer.split_off(self.buffer.len().min(self.chunk_bytes));
        let chunk = std::mem::replace(&mut self.buffer, rest);
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&self.next.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.next = self.next.checked_add(1).ok_or(TooMany)?;
        Ok(Some((Nonce::assume_unique_for_key(nonce), chunk)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::random_key;
    use super::*;

    fn seal(key: &DataKey, content: &[u8], piece: usize) -> Vec<u8> {
        let mut sealing = Sealing::new(key);
        let mut sealed: Vec<u8> =
            content.chunks(piece).flat_map(|piece| sealing.push(Some(piece)).unwrap()).collect();
        sealed.extend(sealing.push(None).unwrap());
        sealed
    }

    fn open(key: &DataKey, sealed: &[u8], piece: usize) -> Result<Vec<u8>, RegistryError> {
        let mut opening = Opening::new(key, Digest::of(b""));
        let mut opened = Vec::new();
        for piece in sealed.chunks(piece) {
            opened.extend(opening.push(Some(piece))?);
        }
        opened.extend(opening.push(None)?);
        Ok(opened)
    }

    #[test]
    fn what_is_sealed_opens_whatever_the_pieces() {
        let key = random_key().unwrap();
        let sizes =
            [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 2_500_000];
        for size in sizes {
            let content: Vec<u8> = vec![7; size];
            let sealed = seal(&key, &content, 300_007);
            assert_eq!(sealed.len() as u64, Sealing::size(size as u64), "{size}");
            assert_eq!(seal(&key, &content, 5 * CHUNK_BYTES), sealed);
            assert!(size < 16 || sealed[..16] != content[..16]);
            for piece in [100_003, 10 * CHUNK_BYTES] {
                assert!(open(&key, &sealed, piece).unwrap() == content, "{size}");
            }
        }
    }

    #[test]
    fn what_is_changed_moved_or_cut_off_does_not_open() {
        let key = random_key().unwrap();
        let sealed = seal(&key, &vec![5; 3 * CHUNK_BYTES], CHUNK_BYTES);
        let chunk = CHUNK_BYTES + TAG_BYTES;
        let mut changed = sealed.clone();
        changed[chunk + 5] ^= 1;
        let swapped = [&sealed[chunk..2 * chunk], &sealed[..chunk], &sealed[2 * chunk..]].concat();
        let cut =
            [0, 10, chunk, 2 * chunk, 2 * chunk + 100, 3 * chunk - 1].map(|end| &sealed[..end]);
        let longer = [&sealed[..], &[0; 20]].concat();
        let doubled = [&sealed[..], &sealed[2 * chunk..]].concat();
        let wrong = [&changed[..], &swapped, &longer, &doubled];
        for wrong in wrong.into_iter().chain(cut) {
            let error = open(&key, wrong, chunk).unwrap_err().to_string();
            assert!(error.contains("does not decrypt"), "{error}");
        }
        assert!(open(&random_key().unwrap(), &sealed, chunk).is_err());
    }
}
