//! The largest or the mean element of windows. Channels come first; what is reduced over all of an
//! image is a reduction.

mod adaptive;
mod max;
#[cfg(test)]
mod tests;
mod windows;

use super::convolution::{Axis, Convolution};
use super::layout::elements;
use super::{Array, Data};
use crate::EvaluateError;

pub(crate) use adaptive::{adaptive_average_pool, adaptive_max_pool};
pub(crate) use max::{max_pool, max_pool_with_indices};

use windows::windows;

/// A window that walks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Size of the window.
    pub(crate) size: Vec<usize>,
    /// Empty: 1.
    pub(crate) strides: Vec<usize>,
    /// Empty: 1.
    pub(crate) dilations: Vec<usize>,
    /// Empty: 0.
    pub(crate) pads_begin: Vec<usize>,
    /// Empty: 0.
    pub(crate) pads_end: Vec<usize>,
    /// More positions behind the end, because a size is rounded up. Unlike the pads they are never
    /// counted as elements of a window. Empty: 0.
    pub(crate) beyond: Vec<usize>,
}

impl Pool {
    fn axes(&self, spatial: &[usize]) -> Result<Vec<Axis>, EvaluateError> {
        let rank = spatial.len();
        if self.size.len() != rank || !(self.beyond.is_empty() || self.beyond.len() == rank) {
            let size = &self.size;
            let message = format!("a window of {size:?} does not walk over {spatial:?}");
            return Err(EvaluateError::new(message));
        }
        elements(&self.size)?;
        let after = |axis: usize| {
            let at = |list: &[usize]| list.get(axis).copied().unwrap_or(0);
            at(&self.pads_end).saturating_add(at(&self.beyond))
        };
        let walk = Convolution {
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
            pads_begin: self.pads_begin.clone(),
            pads_end: (0..rank).map(after).collect(),
            groups: 1,
        };
        let sizes = spatial.iter().zip(&self.size);
        walk.spatial(rank)?
            .into_iter()
            .zip(sizes)
            .map(|(axis, (&input, &size))| axis.sized(input, size))
            .collect()
    }
}

/// The mean of each window: of its elements alone, or (`count_pads`) of the pads as zeros too.
/// Integers are cut off.
pub(crate) fn average_pool(
    array: &Array,
    pool: &Pool,
    count_pads: bool,
) -> Result<Array, EvaluateError> {
    let windows = windows(array, pool)?;
    let beyond = |at: usize| pool.beyond.get(at).copied().unwrap_or(0);
    let counts = windows.counts(|at, position| {
        if !count_pads {
            return windows.seen(at, position);
        }
        let axis = &windows.axes[at];
        let end = axis.before + axis.input + axis.after - beyond(at);
        let start = position * axis.stride;
        (0..axis.kernel).filter(|kernel| start + kernel * axis.dilation < end).count()
    });
    let sums = match array.data() {
        Data::Floats(values) => windows.fold(values, 0.0, |sum, value| sum + f64::from(value)),
        Data::Doubles(values) => windows.fold(values, 0.0, |sum, value| sum + value),
        _ => windows.fold(&array.to_f64s()?, 0.0, |sum, value| sum + value),
    };
    let counts = counts.iter().cycle();
    let means = sums.into_iter().zip(counts).map(|(sum, &count)| sum / count as f64).collect();
    Array::from_f64s(array.element_type(), &windows.dims, means)
}

/// `(Σ |x|^p)^(1/p)` of each window.
pub(crate) fn lp_pool(array: &Array, pool: &Pool, p: f64) -> Result<Array, EvaluateError> {
    let windows = windows(array, pool)?;
    let powers = |sum: f64, value: f64| sum + value.abs().powf(p);
    let sums = windows.fold(&array.to_f64s()?, 0.0, powers);
    let norms = sums.into_iter().map(|sum| sum.powf(p.recip())).collect();
    Array::from_f64s(array.element_type(), &windows.dims, norms)
}
