//! Elements by their indices: picked, put, ordered, counted up.

mod gather;
mod order;
mod running;
mod scatter;
#[cfg(test)]
mod tests;

use modelyard_graph::ElementType;

use super::Array;
use super::layout::{self, elements, strides};
use crate::EvaluateError;

pub(crate) use gather::{gather, gather_elements, gather_nd};
pub(crate) use order::{sort, top_k};
pub(crate) use running::{Running, cumprod, cumsum};
pub(crate) use scatter::{Combine, scatter_elements, scatter_nd};

/// One of `depth` elements is `on` along a new axis, the others are `off`; all are off where an
/// index is outside.
pub(crate) fn one_hot(
    indices: &Array,
    depth: usize,
    axis: i64,
    (off, on): (f64, f64),
    element_type: ElementType,
) -> Result<Array, EvaluateError> {
    let axis = layout::axis(axis, indices.rank() + 1)?;
    let mut dims = indices.dims().to_vec();
    dims.insert(axis, depth);
    let mut values = vec![off; elements(&dims)?];
    let inner = elements(&indices.dims()[axis..])?;
    for (at, &index) in indices.as_ints()?.iter().enumerate() {
        if let Some(index) = usize::try_from(index).ok().filter(|&index| index < depth) {
            values[(at / inner * depth + index) * inner + at % inner] = on;
        }
    }
    Array::from_f64s(element_type, &dims, values)
}

/// Where the elements that are not 0 stand: a row an axis, a column an element.
pub(crate) fn where_nonzero(array: &Array) -> Result<Array, EvaluateError> {
    let found: Vec<usize> = array
        .to_f64s()?
        .iter()
        .enumerate()
        .filter(|(_, value)| **value != 0.0)
        .map(|(at, _)| at)
        .collect();
    let own = strides(array.dims());
    let indices = (0..array.rank()).flat_map(|axis| {
        let (step, size) = (own[axis] as usize, array.dims()[axis].max(1));
        found.iter().map(move |at| (at / step % size) as i64)
    });
    Array::ints(&[array.rank(), found.len()], indices.collect())
}

/// Numbers from `start` in steps up to (without) `limit`.
pub(crate) fn range(
    element_type: ElementType,
    start: f64,
    limit: f64,
    step: f64,
) -> Result<Array, EvaluateError> {
    let count = ((limit - start) / step).ceil().max(0.0);
    if step == 0.0 || count.is_nan() || count > layout::MAX_ELEMENTS as f64 {
        let message = format!("there is no range from {start} to {limit} in steps of {step}");
        return Err(EvaluateError::new(message));
    }
    let values = (0..count as usize).map(|at| start + at as f64 * step).collect();
    Array::from_f64s(element_type, &[count as usize], values)
}
