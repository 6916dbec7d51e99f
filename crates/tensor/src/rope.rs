//! Bytes as they arrived: in pieces.

use bytes::Bytes;
use smallvec::SmallVec;

/// A sequence of byte chunks that stands for their concatenation.
///
/// Bodies come from the network in pieces. Joining them would be a copy, and putting them into a
/// batch another one; a rope lets the batch buffer be filled from the pieces at once.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    chunks: SmallVec<[Bytes; 1]>,
    len: usize,
}

impl Rope {
    /// Total bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a chunk without copying it.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push(chunk);
        }
    }

    /// The chunks, none of them empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Removes and returns the first `at` bytes, or `None` (and changes nothing) when there are
    /// fewer. Copies no bytes.
    pub fn split_to(&mut self, at: usize) -> Option<Rope> {
        if at > self.len {
            return None;
        }
        let mut head = Rope::default();
        let mut whole = 0;
        while head.len < at {
            let chunk = &mut self.chunks[whole];
            let missing = at - head.len;
            if chunk.len() <= missing {
                head.push(chunk.clone());
                whole += 1;
            } else {
                head.push(chunk.split_to(missing));
            }
        }
        self.chunks.drain(..whole);
        self.len -= at;
        Some(head)
    }

    /// The bytes in one piece when they are in one piece already and `align`ed; never copies.
    pub fn as_contiguous(&self, align: usize) -> Option<&[u8]> {
        match self.chunks.as_slice() {
            [] => Some(&[]),
            [only] if (only.as_ptr() as usize).is_multiple_of(align) => Some(only),
            _ => None,
        }
    }

    /// Copies all bytes to `target`.
    ///
    /// # Panics
    /// When `target` has another length.
    pub fn copy_to(&self, target: &mut [u8]) {
        assert_eq!(target.len(), self.len, "a rope is copied whole");
        let mut rest = target;
        for chunk in &self.chunks {
            let (head, tail) = rest.split_at_mut(chunk.len());
            head.copy_from_slice(chunk);
            rest = tail;
        }
    }

    /// The bytes in one piece; copies only when there are several chunks.
    pub fn into_bytes(self) -> Bytes {
        match self.chunks.len() {
            0 => Bytes::new(),
            1 => self.chunks.into_iter().next().unwrap_or_default(),
            _ => {
                let mut joined = Vec::with_capacity(self.len);
                self.chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
                joined.into()
            }
        }
    }
}

impl From<Bytes> for Rope {
    fn from(chunk: Bytes) -> Self {
        let mut rope = Rope::default();
        rope.push(chunk);
        rope
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn splits_and_joins_like_its_concatenation(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..6),
            at in 0usize..30,
        ) {
            let whole: Vec<u8> = parts.concat();
            let mut rope = Rope::default();
            parts.into_iter().for_each(|part| rope.push(part.into()));
            prop_assert_eq!(rope.len(), whole.len());
            match rope.split_to(at) {
                None => prop_assert!(at > whole.len()),
                Some(head) => {
                    let mut copy = vec![0; head.len()];
                    head.copy_to(&mut copy);
                    prop_assert_eq!(&copy[..], &whole[..at]);
                    prop_assert_eq!(&rope.into_bytes()[..], &whole[at..]);
                }
            }
        }
    }
}
