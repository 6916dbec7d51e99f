//! Elements by their indices: picked, put, ordered, counted up.

use std::cmp::Ordering;

use modelyard_graph::ElementType;

use super::layout::{self, each_kind, elements, strides};
use super::shape::swap_axes;
use super::{Array, Data};
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
fn picked<T: Clone>(values: &[T], places: &[usize], width: usize) -> Vec<T> {
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
struct Named {
    places: Vec<usize>,
    /// The shape of the indices without their last axis.
    outer: Vec<usize>,
    /// The shape of a part.
    inner: Vec<usize>,
}

fn named(array: &Array, indices: &Array, batch_dims: usize) -> Result<Named, EvaluateError> {
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

/// What becomes of an element that is put where one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    Replace,
    Add,
    Multiply,
    Max,
    Min,
}

/// The array with parts named by `indices` combined with `updates`, in order.
pub(crate) fn scatter_nd(
    array: &Array,
    indices: &Array,
    updates: &Array,
    combine: Combine,
) -> Result<Array, EvaluateError> {
    let Named { places, outer, inner } = named(array, indices, 0)?;
    let expected = [outer.as_slice(), &inner].concat();
    if updates.dims() != expected {
        let found = updates.dims();
        let message = format!("expected updates of shape {expected:?}, found {found:?}");
        return Err(EvaluateError::new(message));
    }
    let width = elements(&inner)?;
    let places: Vec<usize> =
        places.into_iter().flat_map(|place| place * width..(place + 1) * width).collect();
    put(array, &places, updates, combine)
}

/// Elements of `updates` combined with those at `places`, one after the other.
fn put(
    array: &Array,
    places: &[usize],
    updates: &Array,
    combine: Combine,
) -> Result<Array, EvaluateError> {
    fn all<T: Clone>(into: &mut [T], places: &[usize], from: &[T], f: impl Fn(&T, &T) -> T) {
        for (&place, value) in places.iter().zip(from) {
            into[place] = f(&into[place], value);
        }
    }
    let mut data = array.data().clone();
    match (&mut data, updates.data()) {
        _ if array.element_type() != updates.element_type() => {
            let (one, two) = (array.element_type(), updates.element_type());
            return Err(EvaluateError::new(format!(
                "elements of type {two} cannot be put among {one}"
            )));
        }
        (Data::Floats(into), Data::Floats(from)) => {
            all(into, places, from, |&a, &b| match combine {
                Combine::Replace => b,
                Combine::Add => a + b,
                Combine::Multiply => a * b,
                Combine::Max => a.max(b),
                Combine::Min => a.min(b),
            })
        }
        (Data::Doubles(into), Data::Doubles(from)) => {
            all(into, places, from, |&a, &b| match combine {
                Combine::Replace => b,
                Combine::Add => a + b,
                Combine::Multiply => a * b,
                Combine::Max => a.max(b),
                Combine::Min => a.min(b),
            })
        }
        (Data::Ints(into), Data::Ints(from)) => all(into, places, from, |&a, &b| match combine {
            Combine::Replace => b,
            Combine::Add => a.wrapping_add(b),
            Combine::Multiply => a.wrapping_mul(b),
            Combine::Max => a.max(b),
            Combine::Min => a.min(b),
        }),
        (Data::Bools(into), Data::Bools(from)) => all(into, places, from, |&a, &b| match combine {
            Combine::Replace => b,
            Combine::Add | Combine::Max => a || b,
            Combine::Multiply | Combine::Min => a && b,
        }),
        (Data::Strings(into), Data::Strings(from)) if combine == Combine::Replace => {
            all(into, places, from, |_, b| b.clone());
        }
        _ => return Err(EvaluateError::new("strings cannot be combined")),
    }
    Array::new(array.element_type(), array.dims(), data)
}

/// Where elements of an array stand that `indices`, of the same rank, name along an axis.
fn along(array: &Array, indices: &Array, axis: i64) -> Result<Vec<usize>, EvaluateError> {
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

/// `array[indices[i][j]][j] = updates[i][j]` for axis 0, and so on.
pub(crate) fn scatter_elements(
    array: &Array,
    indices: &Array,
    updates: &Array,
    axis: i64,
    combine: Combine,
) -> Result<Array, EvaluateError> {
    if indices.dims() != updates.dims() {
        let (one, two) = (indices.dims(), updates.dims());
        let message = format!("indices of shape {one:?} and updates of shape {two:?} differ");
        return Err(EvaluateError::new(message));
    }
    put(array, &along(array, indices, axis)?, updates, combine)
}

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

/// How a running sum or product is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    /// Without the element itself.
    pub(crate) exclusive: bool,
    /// From the end.
    pub(crate) reverse: bool,
}

/// Sums of all elements up to each along an axis.
pub(crate) fn cumsum(array: &Array, axis: i64, how: Running) -> Result<Array, EvaluateError> {
    running(array, axis, how, (0.0, 0), |a, b| a + b, i64::wrapping_add)
}

/// Products of all elements up to each along an axis.
pub(crate) fn cumprod(array: &Array, axis: i64, how: Running) -> Result<Array, EvaluateError> {
    running(array, axis, how, (1.0, 1), |a, b| a * b, i64::wrapping_mul)
}

fn running(
    array: &Array,
    axis: i64,
    how: Running,
    start: (f64, i64),
    floats: impl Fn(f64, f64) -> f64,
    ints: impl Fn(i64, i64) -> i64,
) -> Result<Array, EvaluateError> {
    fn rows<T: Copy>(
        values: &mut [T],
        (size, inner): (usize, usize),
        how: Running,
        start: T,
        f: impl Fn(T, T) -> T,
    ) {
        for block in values.chunks_exact_mut((size * inner).max(1)) {
            for column in 0..inner {
                let mut total = start;
                for step in 0..size {
                    let place = if how.reverse { size - 1 - step } else { step };
                    let at = place * inner + column;
                    let next = f(total, block[at]);
                    block[at] = if how.exclusive { total } else { next };
                    total = next;
                }
            }
        }
    }
    let axis = layout::axis(axis, array.rank())?;
    if array.len() == 0 {
        return Ok(array.clone());
    }
    let size = (array.dims()[axis], elements(&array.dims()[axis + 1..])?);
    if let Data::Ints(values) = array.data() {
        let mut values = values.clone();
        rows(&mut values, size, how, start.1, ints);
        return Array::new(array.element_type(), array.dims(), Data::Ints(values));
    }
    let mut values = array.to_f64s()?;
    rows(&mut values, size, how, start.0, floats);
    Array::from_f64s(array.element_type(), array.dims(), values)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(dims: &[usize], values: &[i64]) -> Array {
        Array::ints(dims, values.to_vec()).unwrap()
    }

    fn counted(dims: &[usize]) -> Array {
        let count = dims.iter().product::<usize>() as i64;
        Array::ints(dims, (0..count).collect()).unwrap()
    }

    #[test]
    fn gathers_along_an_axis() {
        let array = counted(&[2, 3]);
        assert_eq!(gather(&array, &ints(&[2], &[2, -3]), 1).unwrap(), ints(&[2, 2], &[2, 0, 5, 3]));
        assert_eq!(gather(&array, &ints(&[], &[1]), 0).unwrap(), ints(&[3], &[3, 4, 5]));
        let error = gather(&array, &ints(&[1], &[3]), 1).unwrap_err();
        assert_eq!(error.0, "index 3 is outside of 3 elements");
        assert_eq!(gather(&counted(&[0, 2]), &ints(&[0], &[]), 0).unwrap().dims(), [0, 2]);
    }

    #[test]
    fn gathers_by_rows_of_indices() {
        let array = counted(&[2, 2]);
        assert_eq!(
            gather_nd(&array, &ints(&[2, 2], &[0, 0, 1, 1]), 0).unwrap(),
            ints(&[2], &[0, 3])
        );
        assert_eq!(gather_nd(&array, &ints(&[1, 1], &[1]), 0).unwrap(), ints(&[1, 2], &[2, 3]));
        let batched = gather_nd(&counted(&[2, 2, 2]), &ints(&[2, 1], &[1, 0]), 1).unwrap();
        assert_eq!(batched, ints(&[2, 2], &[2, 3, 4, 5]));
        assert!(gather_nd(&array, &ints(&[1, 3], &[0, 0, 0]), 0).is_err());
        assert!(gather_nd(&array, &ints(&[3, 1], &[0, 0, 0]), 1).is_err());
    }

    #[test]
    fn scatters() {
        let array = ints(&[4], &[1, 2, 3, 4]);
        let (indices, updates) = (ints(&[2, 1], &[3, 3]), ints(&[2], &[10, 20]));
        let with = |combine| scatter_nd(&array, &indices, &updates, combine).unwrap();
        assert_eq!(with(Combine::Replace), ints(&[4], &[1, 2, 3, 20]));
        assert_eq!(with(Combine::Add), ints(&[4], &[1, 2, 3, 34]));
        assert_eq!(with(Combine::Max), ints(&[4], &[1, 2, 3, 20]));
        assert_eq!(with(Combine::Min), ints(&[4], &[1, 2, 3, 4]));
        assert_eq!(with(Combine::Multiply), ints(&[4], &[1, 2, 3, 800]));
        assert!(scatter_nd(&array, &indices, &ints(&[1], &[1]), Combine::Add).is_err());
    }

    #[test]
    fn elements_along_an_axis() {
        let array = counted(&[2, 2]);
        let indices = ints(&[2, 2], &[0, 0, 1, 0]);
        assert_eq!(gather_elements(&array, &indices, 1).unwrap(), ints(&[2, 2], &[0, 0, 3, 2]));
        let updates = ints(&[1, 2], &[10, 20]);
        let found =
            scatter_elements(&array, &ints(&[1, 2], &[1, 0]), &updates, 0, Combine::Replace);
        assert_eq!(found.unwrap(), ints(&[2, 2], &[0, 20, 10, 3]));
        assert!(gather_elements(&array, &ints(&[3, 2], &[0; 6]), 1).is_err());
    }

    #[test]
    fn one_is_hot() {
        let found =
            one_hot(&ints(&[3], &[1, 5, -1]), 2, -1, (0.0, 1.0), ElementType::Int64).unwrap();
        assert_eq!(found, ints(&[3, 2], &[0, 1, 0, 0, 0, 0]));
        let first = one_hot(&ints(&[2], &[1, 0]), 3, 0, (0.0, 1.0), ElementType::Int64).unwrap();
        assert_eq!(first, ints(&[3, 2], &[0, 1, 1, 0, 0, 0]));
    }

    #[test]
    fn the_lower_index_comes_first() {
        let values = Array::floats(&[4], vec![1.0, 3.0, f32::NAN, 3.0]).unwrap();
        let (best, indices) = top_k(&values, 3, 0, true).unwrap();
        assert_eq!(indices, ints(&[3], &[2, 1, 3]));
        assert_eq!(best.as_floats().unwrap()[1..], [3.0, 3.0]);
        let (_, indices) = sort(&values, 0, false).unwrap();
        assert_eq!(indices, ints(&[4], &[0, 1, 3, 2]));
        let (columns, _) = top_k(&ints(&[2, 2], &[1, 4, 3, 2]), 1, 0, true).unwrap();
        assert_eq!(columns, ints(&[1, 2], &[3, 4]));
        assert!(top_k(&values, 5, 0, true).is_err());
    }

    #[test]
    fn sums_run_in_four_ways() {
        let values = ints(&[1, 3], &[1, 2, 3]);
        let sums = |exclusive, reverse| {
            let found = cumsum(&values, 1, Running { exclusive, reverse }).unwrap();
            found.as_ints().unwrap().to_vec()
        };
        assert_eq!(sums(false, false), [1, 3, 6]);
        assert_eq!(sums(true, false), [0, 1, 3]);
        assert_eq!(sums(false, true), [6, 5, 3]);
        assert_eq!(sums(true, true), [5, 3, 0]);
        let columns =
            cumsum(&ints(&[2, 2], &[1, 2, 3, 4]), 0, Running { exclusive: false, reverse: true });
        assert_eq!(columns.unwrap(), ints(&[2, 2], &[4, 6, 3, 4]));
        let product = cumprod(&values, 1, Running::default()).unwrap();
        assert_eq!(product.as_ints().unwrap(), [1, 2, 6]);
    }

    #[test]
    fn finds_and_counts() {
        let found = where_nonzero(&ints(&[2, 2], &[0, 1, 1, 0])).unwrap();
        assert_eq!(found, ints(&[2, 2], &[0, 1, 1, 0]));
        assert_eq!(range(ElementType::Int64, 5.0, 0.0, -2.0).unwrap(), ints(&[3], &[5, 3, 1]));
        assert!(range(ElementType::Int64, 0.0, 1.0, 0.0).is_err());
        assert!(range(ElementType::Int64, 0.0, 1e300, 1.0).is_err());
    }
}
