//! Elements in order of size.

use std::cmp::Ordering;

use modelyard_graph::ElementType;

use super::super::layout::{self, each_kind};
use super::super::shape::swap_axes;
use super::super::{Array, Data};
use super::gather::picked;
use crate::EvaluateError;

/// Rows along an axis, in whatever order asked for; gives for each row the places of its elements.
fn ordered(array: &Array, descending: bool) -> Result<Vec<usize>, EvaluateError> {
    fn order<T>(values: &[T], width: usize, cmp: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
        let mut all = Vec::with_capacity(values.len());
        for row in values.chunks_exact(width.max(1)) {
            let mut places: Vec<usize> = (0..width).collect();
            places.sort_by(|&a, &b| cmp(&row[a], &row[b]));
            all.extend(places);
        }
        all
    }
    let width = array.dims().last().copied().unwrap_or(1);
    let turned = |order: Ordering| if descending { order.reverse() } else { order };
    Ok(match array.data() {
        Data::Floats(values) => order(values, width, |&a, &b| turned(nan_last(a, b))),
        Data::Doubles(values) => order(values, width, |&a, &b| turned(nan_last(a, b))),
        Data::Ints(values) if array.element_type() == ElementType::Uint64 => {
            order(values, width, |&a, &b| turned((a as u64).cmp(&(b as u64))))
        }
        Data::Ints(values) => order(values, width, |a, b| turned(a.cmp(b))),
        Data::Bools(values) => order(values, width, |a, b| turned(a.cmp(b))),
        Data::Strings(values) => order(values, width, |a, b| turned(a.cmp(b))),
    })
}

/// NaN is larger than everything.
fn nan_last<T: PartialOrd>(a: T, b: T) -> Ordering {
    let nan = |value: &T| value.partial_cmp(value).is_none();
    a.partial_cmp(&b).unwrap_or_else(|| nan(&a).cmp(&nan(&b)))
}

/// The `k` largest (or smallest) elements along an axis, sorted, and where they stand. Of equal
/// ones that with the lower index comes first.
pub(crate) fn top_k(
    array: &Array,
    k: usize,
    axis: i64,
    largest: bool,
) -> Result<(Array, Array), EvaluateError> {
    let axis = layout::axis(axis, array.rank())? as i64;
    let moved = swap_axes(array, axis, -1)?;
    let width = moved.dims().last().copied().unwrap_or(1);
    if k > width {
        let dims = array.dims();
        return Err(EvaluateError::new(format!(
            "{k} elements asked of axis {axis} of shape {dims:?}"
        )));
    }
    let order = ordered(&moved, largest)?;
    let mut places = Vec::new();
    let mut indices = Vec::new();
    for (row, order) in order.chunks_exact(width.max(1)).enumerate() {
        places.extend(order[..k].iter().map(|at| row * width + at));
        indices.extend(order[..k].iter().map(|&at| at as i64));
    }
    let mut dims = moved.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = k;
    }
    let data = each_kind!(moved.data(), values => picked(values, &places, 1));
    let values = Array::new(array.element_type(), &dims, data)?;
    let indices = Array::ints(&dims, indices)?;
    Ok((swap_axes(&values, axis, -1)?, swap_axes(&indices, axis, -1)?))
}

/// Elements along an axis in order, and where they stood; equal ones stay in order.
pub(crate) fn sort(
    array: &Array,
    axis: i64,
    descending: bool,
) -> Result<(Array, Array), EvaluateError> {
    let size = array.dims()[layout::axis(axis, array.rank())?];
    top_k(array, size, axis, descending)
}
