//! Parts of arrays.

use super::super::Array;
use super::super::layout::{self, View, strides};
use crate::EvaluateError;

/// Which elements of an axis: as `start:stop:step` in numpy, where `stop` of `i64::MAX`
/// (`i64::MIN` for negative steps) means to the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) axis: i64,
    pub(crate) start: i64,
    pub(crate) stop: i64,
    pub(crate) step: i64,
}

impl Range {
    /// The first index and how many, in an axis of `dim` elements.
    fn within(&self, dim: usize) -> Result<(usize, usize), EvaluateError> {
        let size = dim as i64;
        let counted = |index: i64| if index < 0 { index.saturating_add(size) } else { index };
        let (low, high) = if self.step > 0 { (0, size) } else { (-1, size - 1) };
        let start = counted(self.start).clamp(low, high.max(low));
        let stop = counted(self.stop).clamp(low, high.max(low));
        let span = match self.step {
            0 => return Err(EvaluateError::new("a slice has step 0")),
            1.. => stop - start,
            _ => start - stop,
        };
        let step = self.step.unsigned_abs();
        let count = (span.max(0) as u64).div_ceil(step);
        Ok((start.max(0) as usize, count as usize))
    }
}

/// A part of an array.
pub(crate) fn slice(array: &Array, ranges: &[Range]) -> Result<Array, EvaluateError> {
    let mut view = View { dims: array.dims().to_vec(), strides: strides(array.dims()), offset: 0 };
    let mut seen = Vec::new();
    for range in ranges {
        let axis = layout::axis(range.axis, array.rank())?;
        if seen.contains(&axis) {
            return Err(EvaluateError::new(format!("axis {axis} is sliced twice")));
        }
        seen.push(axis);
        let (start, count) = range.within(array.dims()[axis])?;
        view.offset += start as isize * view.strides[axis];
        view.dims[axis] = count;
        // A single element needs no step, which may be as large as an integer can be.
        let step = if count > 1 { range.step as isize } else { 1 };
        view.strides[axis] *= step;
    }
    layout::view(array, &view)
}

/// The part from `start` that is `len` long along one axis; an error where there is less.
pub(crate) fn narrow(
    array: &Array,
    axis: i64,
    start: usize,
    len: usize,
) -> Result<Array, EvaluateError> {
    let at = layout::axis(axis, array.rank())?;
    let found = array.dims()[at];
    let Some(stop) = start.checked_add(len).filter(|&stop| stop <= found) else {
        return Err(EvaluateError::new(format!(
            "expected {len} elements from {start} along axis {at}, found shape {:?}",
            array.dims()
        )));
    };
    slice(array, &[Range { axis, start: start as i64, stop: stop as i64, step: 1 }])
}

/// Every axis in `axes` turned around.
pub(crate) fn flip(array: &Array, axes: &[i64]) -> Result<Array, EvaluateError> {
    let turned = |&axis: &i64| Range { axis, start: i64::MAX, stop: i64::MIN, step: -1 };
    slice(array, &axes.iter().map(turned).collect::<Vec<_>>())
}
