//! What moves elements and leaves them as they are.

mod join;
mod pad;
mod slice;
#[cfg(test)]
mod tests;

use super::Array;
use super::layout::{self, View, copied, each_kind, elements, strides};
use crate::EvaluateError;

pub(crate) use join::{concat, split, stack, unstack};
pub(crate) use pad::{Padding, pad};
pub(crate) use slice::{Range, flip, narrow, slice};

/// The array with its axes in another order: axis `i` of the result is axis `order[i]`.
pub(crate) fn transpose(array: &Array, order: &[usize]) -> Result<Array, EvaluateError> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..array.rank()) {
        let dims = array.dims();
        let message = format!("axes {order:?} are no order of the dimensions {dims:?}");
        return Err(EvaluateError::new(message));
    }
    let own = strides(array.dims());
    let dims = order.iter().map(|&axis| array.dims()[axis]).collect();
    let strides = order.iter().map(|&axis| own[axis]).collect();
    layout::view(array, &View { dims, strides, offset: 0 })
}

/// Two axes exchanged.
pub(crate) fn swap_axes(array: &Array, one: i64, two: i64) -> Result<Array, EvaluateError> {
    let mut order: Vec<usize> = (0..array.rank()).collect();
    order.swap(layout::axis(one, array.rank())?, layout::axis(two, array.rank())?);
    transpose(array, &order)
}

/// The array repeated along axes of size 1, and new axes in front, to have this shape.
pub(crate) fn broadcast_to(array: &Array, dims: &[usize]) -> Result<Array, EvaluateError> {
    let fits = layout::broadcast(array.dims(), dims)? == dims;
    if !fits || array.rank() > dims.len() {
        let found = array.dims();
        return Err(EvaluateError::new(format!("shape {found:?} does not broadcast to {dims:?}")));
    }
    let strides = layout::broadcast_strides(array.dims(), dims);
    layout::view(array, &View { dims: dims.to_vec(), strides, offset: 0 })
}

/// The array repeated `repeats[i]` times along axis `i`.
pub(crate) fn tile(array: &Array, repeats: &[usize]) -> Result<Array, EvaluateError> {
    let rank = array.rank().max(repeats.len());
    let ahead = |len: usize| rank - len;
    let own: Vec<usize> =
        std::iter::repeat_n(1, ahead(array.rank())).chain(array.dims().iter().copied()).collect();
    let times: Vec<usize> =
        std::iter::repeat_n(1, ahead(repeats.len())).chain(repeats.iter().copied()).collect();
    // Each axis twice: the repeats and the elements.
    let steps = strides(&own);
    let mut view = View { dims: Vec::new(), strides: Vec::new(), offset: 0 };
    let mut dims = Vec::new();
    for axis in 0..rank {
        view.dims.extend([times[axis], own[axis]]);
        view.strides.extend([0, steps[axis]]);
        dims.push(times[axis].saturating_mul(own[axis]));
    }
    elements(&dims)?;
    layout::view(array, &view)?.reshaped(&dims)
}

/// The array without these axes of size 1, or without all of them.
pub(crate) fn squeeze(array: &Array, axes: Option<&[i64]>) -> Result<Array, EvaluateError> {
    let gone = match axes {
        Some(axes) => layout::axes(axes, array.rank())?,
        None => (0..array.rank()).filter(|&axis| array.dims()[axis] == 1).collect(),
    };
    if let Some(axis) = gone.iter().find(|&&axis| array.dims()[axis] != 1) {
        let found = array.dims();
        return Err(EvaluateError::new(format!("axis {axis} of shape {found:?} is not 1")));
    }
    let kept = (0..array.rank()).filter(|axis| !gone.contains(axis));
    let dims: Vec<usize> = kept.map(|axis| array.dims()[axis]).collect();
    array.clone().reshaped(&dims)
}

/// The array with new axes of size 1, which are counted in the result.
pub(crate) fn expand_dims(array: &Array, axes: &[i64]) -> Result<Array, EvaluateError> {
    let rank = array.rank() + axes.len();
    let new = layout::axes(axes, rank)?;
    let mut own = array.dims().iter();
    let dims: Vec<usize> = (0..rank)
        .map(|axis| if new.contains(&axis) { 1 } else { own.next().copied().unwrap_or(1) })
        .collect();
    array.clone().reshaped(&dims)
}

/// Elements at `offset + Σ index * stride`, whatever the shape of the array is.
pub(crate) fn as_strided(
    array: &Array,
    dims: &[usize],
    strides: &[isize],
    offset: usize,
) -> Result<Array, EvaluateError> {
    let offset = isize::try_from(offset).unwrap_or(isize::MAX);
    let view = View { dims: dims.to_vec(), strides: strides.to_vec(), offset };
    if dims.len() != strides.len() {
        let message = format!("shape {dims:?} and strides {strides:?} do not go together");
        return Err(EvaluateError::new(message));
    }
    let data = each_kind!(array.data(), values => copied(values, &view)?);
    Array::new(array.element_type(), dims, data)
}
