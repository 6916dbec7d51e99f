//! Memory of a training step: buffers that are used again, and a bound on all of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::array::{Array, Data};

/// Buffers of floats that came free, by length.
///
/// The values between nodes have the same sizes in every step, so after the first step nothing is
/// allocated, and no page is zeroed and faulted in again.
#[derive(Debug, Default)]
pub struct Buffers {
    free: HashMap<usize, Vec<Vec<f32>>>,
    free_bytes: usize,
}

/// Bytes of free buffers kept at most; what comes free beyond goes back to the allocator.
const FREE_BYTES_MAX: usize = 1 << 30;

impl Buffers {
    /// A buffer of `len` floats whose contents are unspecified: write all of them.
    pub fn take(&mut self, len: usize) -> Vec<f32> {
        match self.free.get_mut(&len).and_then(Vec::pop) {
            Some(buffer) => {
                self.free_bytes -= 4 * len;
                buffer
            }
            None => vec![0.0; len],
        }
    }

    /// A buffer of `len` zeros.
    pub fn zeros(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Takes back a buffer.
    pub fn give(&mut self, buffer: Vec<f32>) {
        let bytes = 4 * buffer.len();
        if self.free_bytes + bytes <= FREE_BYTES_MAX {
            self.free_bytes += bytes;
            self.free.entry(buffer.len()).or_default().push(buffer);
        }
    }

    /// Takes back the buffer of an array that nobody else shares.
    pub fn recycle(&mut self, array: Array) {
        if let Data::Floats(values) = array.into_data()
            && let Ok(values) = Arc::try_unwrap(values)
        {
            self.give(values);
        }
    }
}
