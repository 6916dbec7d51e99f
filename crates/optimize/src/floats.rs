//! Numbers of constants.

use modelyard_graph::{Constant, ElementType};

/// The numbers of a constant of floats. `None` for other types and for data in other files.
pub(crate) fn floats(constant: &Constant) -> Option<Vec<f32>> {
    (constant.element_type == ElementType::Float32).then_some(())?;
    let bytes = constant.bytes()?;
    Some(bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item)).collect())
}

/// A tensor cut along one axis: `outer` blocks of `channels` rows of `inner` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) outer: usize,
    pub(crate) channels: usize,
    pub(crate) inner: usize,
}

impl Channels {
    /// The channels along `axis`, or the whole as one channel.
    pub(crate) fn of(dims: &[usize], axis: Option<usize>) -> Channels {
        let product = |dims: &[usize]| dims.iter().product();
        match axis {
            Some(axis) => Channels {
                outer: product(&dims[..axis]),
                channels: dims[axis],
                inner: product(&dims[axis + 1..]),
            },
            None => Channels { outer: 1, channels: 1, inner: product(dims) },
        }
    }

    /// Calls `act` with each row and the number of its channel. Nothing for tensors without elements.
    pub(crate) fn rows<T>(self, numbers: &[T], mut act: impl FnMut(usize, &[T])) {
        if self.inner > 0 && self.channels > 0 {
            for (index, row) in numbers.chunks_exact(self.inner).enumerate() {
                act(index % self.channels, row);
            }
        }
    }

    /// The same with rows that change.
    pub(crate) fn rows_mut<T>(self, numbers: &mut [T], mut act: impl FnMut(usize, &mut [T])) {
        if self.inner > 0 && self.channels > 0 {
            for (index, row) in numbers.chunks_exact_mut(self.inner).enumerate() {
                act(index % self.channels, row);
            }
        }
    }
}

/// Signal and noise that are summed up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    /// Adds numbers, and what became of them.
    pub fn add(&mut self, truth: &[f32], rounded: &[f32]) {
        for (&x, &y) in truth.iter().zip(rounded) {
            let (x, y) = (f64::from(x), f64::from(y));
            self.signal += x * x;
            self.noise += (x - y) * (x - y);
        }
    }

    /// Signal to noise in decibels; infinite where there is no noise.
    pub fn decibels(self) -> f64 {
        10.0 * (self.signal / self.noise).log10()
    }
}

/// Signal to quantization noise in decibels: `10 log10(Σ x² / Σ (x - y)²)`. Infinite where both are the
/// same.
pub fn sqnr(truth: &[f32], rounded: &[f32]) -> f64 {
    let mut noise = Noise::default();
    noise.add(truth, rounded);
    noise.decibels()
}
