//! Elements picked by their indices.

use super::super::Array;
use super::super::layout::{self, each_kind, elements, strides};
use crate::EvaluateError;

/// An index into `size` elements; negative ones count from the back.
fn within(index: i64, size: usize) -> Result<usize, EvaluateError> {
    let counted = if index < 0 { index.saturating_add(size as i64) } else { index };
    usize::try_from(counted)
        .ok()
        .filter(|&found| found < size)
        .ok_or_else(|| EvaluateError::new(format!("index {index} is outside of {size} elements")))
}

/// Elements, or runs of `width` elements, at these places.
pub(super) fn picked<T: Clone>(values: &[T], places: &[usize], width: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(places.len() * width);
    for &place in places {
        out.extend_from_slice(&values[place * width..(place + 1) * width]);
    }
    out
}

/// Parts of an array along an axis: `indices` takes the place of the axis.
pub(crate) fn gather(array: &Array, indices: &Array, axis: i64) -> Result<Array, EvaluateError> {
    let axis = layout::axis(axis, array.rank())?;
    let (outer, rest) = array.dims().split_at(axis);
    let size = rest[0];
    let inner = &rest[1..];
    let dims: Vec<usize> = [outer, indices.dims(), inner].concat();
    elements(&dims)?;
    let wanted = indices
        .as_ints()?
        .iter()
        .map(|&index| within(index, size))
        .collect::<Result<Vec<_>, _>>()?;
    let places: Vec<usize> = (0..elements(outer)?)
        .flat_map(|row| wanted.iter().map(move |index| row * size + index))
        .collect();
    let width = elements(inner)?;
    let data = each_kind!(array.data(), values => picked(values, &places, width));
    Array::new(array.element_type(), &dims, data)
}

/// Where the parts that rows of indices name begin, in parts of `width` elements.
pub(super) struct Named {
    pub(super) places: Vec<usize>,
    /// The shape of the indices without their last axis.
    pub(super) outer: Vec<usize>,
    /// The shape of a part.
    pub(super) inner: Vec<usize>,
}

pub(super) fn named(
    array: &Array,
    indices: &Array,
    batch_dims: usize,
) -> Result<Named, EvaluateError> {
    let mismatch = || {
        EvaluateError::new(format!(
            "indices of shape {:?} do not name parts of shape {:?} ({batch_dims} dimensions in common)",
            indices.dims(),
            array.dims()
        ))
    };
    let (&depth, outer) = indices.dims().split_last().ok_or_else(mismatch)?;
    let end = batch_dims.checked_add(depth).filter(|&end| end <= array.rank());
    let end = end.ok_or_else(mismatch)?;
    let same = outer.len() >= batch_dims && outer[..batch_dims] == array.dims()[..batch_dims];
    if !same {
        return Err(mismatch());
    }
    let sizes = &array.dims()[batch_dims..end];
    let batch = elements(&array.dims()[..batch_dims])?;
    let rows = elements(outer)?;
    let rows_each = rows.checked_div(batch).unwrap_or(0);
    let part_count = elements(sizes)?;
    let values = indices.as_ints()?;
    let mut places = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut place = 0;
        for (&index, &size) in values[row * depth..(row + 1) * depth].iter().zip(sizes) {
            place = place * size + within(index, size)?;
        }
        places.push(row / rows_each * part_count + place);
    }
    Ok(Named { places, outer: outer.to_vec(), inner: array.dims()[end..].to_vec() })
}

/// Parts of an array, each named by the last axis of `indices`; the first `batch_dims` axes are
/// common to both.
pub(crate) fn gather_nd(
    array: &Array,
    indices: &Array,
    batch_dims: usize,
) -> Result<Array, EvaluateError> {
    let Named { places, outer, inner } = named(array, indices, batch_dims)?;
    let dims = [outer.as_slice(), &inner].concat();
    elements(&dims)?;
    let width = elements(&inner)?;
    let data = each_kind!(array.data(), values => picked(values, &places, width));
    Array::new(array.element_type(), &dims, data)
}

/// Where elements of an array stand that `indices`, of the same rank, name along an axis.
pub(super) fn along(
    array: &Array,
    indices: &Array,
    axis: i64,
) -> Result<Vec<usize>, EvaluateError> {
    let axis = layout::axis(axis, array.rank())?;
    let fits = indices.rank() == array.rank()
        && (0..array.rank()).all(|at| at == axis || indices.dims()[at] <= array.dims()[at]);
    if !fits {
        return Err(EvaluateError::new(format!(
            "indices of shape {:?} do not lie within {:?} along axis {axis}",
            indices.dims(),
            array.dims()
        )));
    }
    let own = strides(array.dims());
    let mut outer = own.clone();
    outer[axis] = 0;
    let mut bases = Vec::with_capacity(indices.len());
    layout::each_run(indices.dims(), [&outer], [0], |[at]| bases.push(at as usize));
    let (size, step) = (array.dims()[axis], own[axis] as usize);
    let values = indices.as_ints()?.iter().zip(bases);
    values.map(|(&index, base)| Ok(base + within(index, size)? * step)).collect()
}

/// `out[i][j] = array[indices[i][j]][j]` for axis 0, and so on.
pub(crate) fn gather_elements(
    array: &Array,
    indices: &Array,
    axis: i64,
) -> Result<Array, EvaluateError> {
    let places = along(array, indices, axis)?;
    let data = each_kind!(array.data(), values => picked(values, &places, 1));
    Array::new(array.element_type(), indices.dims(), data)
}
