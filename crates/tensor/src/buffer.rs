//! Memory that engines can read as any element type.

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;

/// One cache line; buffers are made of these so that every element type, and the widest vector
/// instructions, find them aligned.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A byte buffer aligned to 64 bytes, zeroed at first.
pub struct AlignedBuffer {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuffer {
    /// A buffer of `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        AlignedBuffer { lines: vec![Line::zeroed(); len.div_ceil(64)], len }
    }

    /// Makes the buffer `len` bytes long, keeping its memory when it is large enough. What it
    /// held before may still be seen.
    pub fn resize(&mut self, len: usize) {
        let lines = len.div_ceil(64);
        if lines > self.lines.len() {
            self.lines = vec![Line::zeroed(); lines];
        }
        self.len = len;
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }

    /// Turns the buffer into shareable bytes without copying.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizes_in_place_when_it_can() {
        let mut buffer = AlignedBuffer::zeroed(100);
        let address = buffer.as_mut_slice().as_ptr();
        buffer.resize(10);
        assert_eq!(buffer.as_ref().len(), 10);
        buffer.resize(128);
        assert_eq!((buffer.as_ref().len(), buffer.as_ref().as_ptr()), (128, address));
        buffer.resize(1000);
        assert_eq!(buffer.as_mut_slice().len(), 1000);
    }

    #[test]
    fn is_aligned_and_as_long_as_asked() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let mut buffer = AlignedBuffer::zeroed(len);
            buffer.as_mut_slice().fill(7);
            let bytes = buffer.into_bytes();
            assert_eq!(bytes.len(), len);
            assert!(len == 0 || (bytes.as_ptr() as usize).is_multiple_of(64));
            assert!(bytes.iter().all(|&byte| byte == 7));
        }
    }
}
