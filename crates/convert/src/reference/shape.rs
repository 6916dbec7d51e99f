//! What moves elements and leaves them as they are.

use super::layout::{self, View, copied, each_kind, elements, strides};
use super::{Array, Data};
use crate::EvaluateError;

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

/// Arrays of one type one behind the other along an axis.
pub(crate) fn concat(arrays: &[&Array], axis: i64) -> Result<Array, EvaluateError> {
    let Some((first, others)) = arrays.split_first() else {
        return Err(EvaluateError::new("nothing to concatenate"));
    };
    let axis = layout::axis(axis, first.rank())?;
    let mut dims = first.dims().to_vec();
    for other in others {
        let same = other.rank() == first.rank()
            && (0..first.rank()).all(|at| at == axis || other.dims()[at] == first.dims()[at])
            && other.element_type() == first.element_type();
        if !same {
            return Err(EvaluateError::new(format!(
                "{} {:?} and {} {:?} cannot be joined along axis {axis}",
                first.element_type(),
                first.dims(),
                other.element_type(),
                other.dims()
            )));
        }
        dims[axis] = dims[axis].saturating_add(other.dims()[axis]);
    }
    elements(&dims)?;
    let outer = elements(&dims[..axis])?;
    macro_rules! joined {
        ($kind:path) => {{
            let mut out = Vec::new();
            for row in 0..outer {
                for array in arrays {
                    let $kind(values) = array.data() else { continue };
                    let width = values.len() / outer;
                    out.extend_from_slice(&values[row * width..(row + 1) * width]);
                }
            }
            $kind(out)
        }};
    }
    let data = match first.data() {
        Data::Floats(_) => joined!(Data::Floats),
        Data::Doubles(_) => joined!(Data::Doubles),
        Data::Ints(_) => joined!(Data::Ints),
        Data::Bools(_) => joined!(Data::Bools),
        Data::Strings(_) => joined!(Data::Strings),
    };
    Array::new(first.element_type(), &dims, data)
}

/// The array cut along an axis into parts of these sizes, which must be all of it.
pub(crate) fn split(
    array: &Array,
    axis: i64,
    sizes: &[usize],
) -> Result<Vec<Array>, EvaluateError> {
    let at = layout::axis(axis, array.rank())?;
    let total = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    if total != Some(array.dims()[at]) {
        let found = array.dims();
        let message = format!("shape {found:?} cannot be cut into {sizes:?} along axis {at}");
        return Err(EvaluateError::new(message));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes {
        parts.push(narrow(array, axis, start, size)?);
        start += size;
    }
    Ok(parts)
}

/// Arrays of one shape side by side along a new axis.
pub(crate) fn stack(arrays: &[&Array], axis: i64) -> Result<Array, EvaluateError> {
    let rank = arrays.first().map_or(0, |first| first.rank());
    let at = layout::axis(axis, rank + 1)?;
    let taller: Result<Vec<Array>, EvaluateError> =
        arrays.iter().map(|array| expand_dims(array, &[at as i64])).collect();
    concat(&taller?.iter().collect::<Vec<_>>(), at as i64)
}

/// The arrays along an axis, which disappears.
pub(crate) fn unstack(array: &Array, axis: i64) -> Result<Vec<Array>, EvaluateError> {
    let at = layout::axis(axis, array.rank())?;
    let parts = split(array, axis, &vec![1; array.dims()[at]])?;
    parts.into_iter().map(|part| squeeze(&part, Some(&[axis]))).collect()
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

/// What stands around an array that is padded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Padding {
    /// This number, in the type of the array.
    Constant(f64),
    /// Mirrored at the outermost element, which is not repeated.
    Reflect,
    /// Mirrored at the border: the outermost element comes twice.
    Symmetric,
    /// The outermost element.
    Edge,
    /// From the other side.
    Wrap,
}

/// The array with more elements around it: `before` and `after`, one number an axis. Negative
/// numbers cut off.
pub(crate) fn pad(
    array: &Array,
    before: &[i64],
    after: &[i64],
    padding: Padding,
) -> Result<Array, EvaluateError> {
    let rank = array.rank();
    if before.len() != rank || after.len() != rank {
        let dims = array.dims();
        let message = format!("shape {dims:?} cannot be padded by {before:?} and {after:?}");
        return Err(EvaluateError::new(message));
    }
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        let own = array.dims()[axis] as i64;
        let size = before[axis].checked_add(own).and_then(|sum| sum.checked_add(after[axis]));
        let size = size.and_then(|size| usize::try_from(size).ok()).ok_or_else(|| {
            EvaluateError::new(format!(
                "axis {axis} of {own} elements cannot be padded by {} and {}",
                before[axis], after[axis]
            ))
        })?;
        dims.push(size);
    }
    elements(&dims)?;
    let mut found = array.clone();
    // One axis after the other: corners come out as in the frameworks.
    for axis in 0..rank {
        if before[axis] != 0 || after[axis] != 0 {
            found = pad_axis(&found, axis, (before[axis], dims[axis]), padding)?;
        }
    }
    Ok(found)
}

fn pad_axis(
    array: &Array,
    axis: usize,
    (before, size): (i64, usize),
    padding: Padding,
) -> Result<Array, EvaluateError> {
    let own = array.dims()[axis];
    let sources: Vec<Option<usize>> =
        (0..size).map(|at| source(at as i64 - before, own, padding)).collect();
    let constant = matches!(padding, Padding::Constant(_));
    if !constant && sources.contains(&None) {
        let dims = array.dims();
        return Err(EvaluateError::new(format!(
            "axis {axis} of shape {dims:?} has nothing to repeat"
        )));
    }
    let fill = match padding {
        Padding::Constant(value) if array.to_f64s().is_ok() => {
            Array::from_f64s(array.element_type(), &[1], vec![value])?
        }
        _ => {
            Array::new(array.element_type(), &[0], each_kind!(array.data(), _values => Vec::new()))?
        }
    };
    let mut dims = array.dims().to_vec();
    dims[axis] = size;
    elements(&dims)?;
    let outer = elements(&dims[..axis])?;
    let inner = elements(&dims[axis + 1..])?;
    fn moved<T: Clone>(
        values: &[T],
        fill: Option<&T>,
        sources: &[Option<usize>],
        (outer, own, inner): (usize, usize, usize),
    ) -> Vec<T> {
        let mut out = Vec::with_capacity(outer * sources.len() * inner);
        for row in 0..outer {
            for source in sources {
                match (source, fill) {
                    (Some(at), _) => {
                        let start = (row * own + at) * inner;
                        out.extend_from_slice(&values[start..start + inner]);
                    }
                    (None, Some(fill)) => out.extend(std::iter::repeat_n(fill, inner).cloned()),
                    (None, None) => {}
                }
            }
        }
        out
    }
    let size = (outer, own, inner);
    let data = match (array.data(), fill.data()) {
        (Data::Floats(values), Data::Floats(fill)) => {
            Data::Floats(moved(values, fill.first(), &sources, size))
        }
        (Data::Doubles(values), Data::Doubles(fill)) => {
            Data::Doubles(moved(values, fill.first(), &sources, size))
        }
        (Data::Ints(values), Data::Ints(fill)) => {
            Data::Ints(moved(values, fill.first(), &sources, size))
        }
        (Data::Bools(values), Data::Bools(fill)) => {
            Data::Bools(moved(values, fill.first(), &sources, size))
        }
        _ => Data::Strings(match array.data() {
            Data::Strings(values) => moved(values, None, &sources, size),
            _ => Vec::new(),
        }),
    };
    Array::new(array.element_type(), &dims, data)
}

/// Which element stands at `at` (0 is the first of the array, negative is before it); `None` for
/// the constant.
fn source(at: i64, size: usize, padding: Padding) -> Option<usize> {
    let count = size as i64;
    if (0..count).contains(&at) {
        return Some(at as usize);
    }
    if count == 0 {
        return None;
    }
    let found = match padding {
        Padding::Constant(_) => return None,
        Padding::Edge => at.clamp(0, count - 1),
        Padding::Wrap => at.rem_euclid(count),
        Padding::Reflect if count == 1 => 0,
        Padding::Reflect => {
            let at = at.rem_euclid(2 * (count - 1));
            if at < count { at } else { 2 * (count - 1) - at }
        }
        Padding::Symmetric => {
            let at = at.rem_euclid(2 * count);
            if at < count { at } else { 2 * count - 1 - at }
        }
    };
    usize::try_from(found).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: &[usize]) -> Array {
        let count = dims.iter().product::<usize>() as i64;
        Array::ints(dims, (0..count).collect()).unwrap()
    }

    fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[i64]) {
        let found = found.unwrap();
        assert_eq!((found.dims(), found.as_ints().unwrap()), (dims, values));
    }

    #[test]
    fn axes_change_places() {
        check(transpose(&counted(&[2, 3]), &[1, 0]), &[3, 2], &[0, 3, 1, 4, 2, 5]);
        check(swap_axes(&counted(&[1, 2, 2]), -1, -2), &[1, 2, 2], &[0, 2, 1, 3]);
        assert!(transpose(&counted(&[2, 3]), &[0, 0]).is_err());
        assert!(transpose(&counted(&[2, 3]), &[0]).is_err());
    }

    #[test]
    fn slices_are_those_of_numpy() {
        let range = |start, stop, step| Range { axis: -1, start, stop, step };
        let five = counted(&[5]);
        check(slice(&five, &[range(1, -1, 2)]), &[2], &[1, 3]);
        check(slice(&five, &[range(-1, i64::MIN, -2)]), &[3], &[4, 2, 0]);
        check(slice(&five, &[range(3, 0, -1)]), &[3], &[3, 2, 1]);
        check(slice(&five, &[range(0, i64::MAX, i64::MAX)]), &[1], &[0]);
        check(slice(&five, &[range(4, 2, 1)]), &[0], &[]);
        check(slice(&counted(&[0]), &[range(i64::MAX, i64::MIN, -1)]), &[0], &[]);
        assert!(slice(&five, &[range(0, 1, 0)]).is_err());
        check(flip(&counted(&[2, 2]), &[0, 1]), &[2, 2], &[3, 2, 1, 0]);
        assert!(narrow(&five, 0, 4, 2).is_err());
    }

    #[test]
    fn joins_and_cuts() {
        let (a, b) = (counted(&[2, 1]), counted(&[2, 2]));
        check(concat(&[&a, &b], 1), &[2, 3], &[0, 0, 1, 1, 2, 3]);
        assert!(concat(&[&a, &b], 0).is_err());
        assert!(concat(&[], 0).is_err());
        let parts = split(&counted(&[2, 3]), 1, &[1, 2]).unwrap();
        check(Ok(parts[1].clone()), &[2, 2], &[1, 2, 4, 5]);
        assert!(split(&counted(&[3]), 0, &[1, 1]).is_err());
        check(stack(&[&counted(&[2]), &counted(&[2])], -1), &[2, 2], &[0, 0, 1, 1]);
        check(Ok(unstack(&counted(&[2, 2]), 1).unwrap().remove(1)), &[2], &[1, 3]);
        let empty = counted(&[0, 2]);
        check(concat(&[&empty, &empty], 1), &[0, 4], &[]);
    }

    #[test]
    fn repeats() {
        check(tile(&counted(&[2]), &[2, 2]), &[2, 4], &[0, 1, 0, 1, 0, 1, 0, 1]);
        check(broadcast_to(&counted(&[2, 1]), &[2, 2]), &[2, 2], &[0, 0, 1, 1]);
        assert!(broadcast_to(&counted(&[2]), &[1]).is_err());
        assert!(tile(&counted(&[2]), &[usize::MAX]).is_err());
        check(expand_dims(&counted(&[2]), &[0, -1]), &[1, 2, 1], &[0, 1]);
        check(squeeze(&counted(&[1, 2, 1]), None), &[2], &[0, 1]);
        assert!(squeeze(&counted(&[2]), Some(&[0])).is_err());
    }

    #[test]
    fn pads_in_every_way() {
        let three = counted(&[3]);
        let padded = |padding| pad(&three, &[2], &[2], padding);
        check(padded(Padding::Constant(9.0)), &[7], &[9, 9, 0, 1, 2, 9, 9]);
        check(padded(Padding::Reflect), &[7], &[2, 1, 0, 1, 2, 1, 0]);
        check(padded(Padding::Symmetric), &[7], &[1, 0, 0, 1, 2, 2, 1]);
        check(padded(Padding::Edge), &[7], &[0, 0, 0, 1, 2, 2, 2]);
        check(padded(Padding::Wrap), &[7], &[1, 2, 0, 1, 2, 0, 1]);
        check(pad(&three, &[-1], &[1], Padding::Constant(0.0)), &[3], &[1, 2, 0]);
        assert!(pad(&three, &[-4], &[0], Padding::Edge).is_err());
        assert!(pad(&counted(&[0]), &[1], &[0], Padding::Edge).is_err());
        assert!(pad(&three, &[i64::MAX], &[i64::MAX], Padding::Edge).is_err());
    }
}
