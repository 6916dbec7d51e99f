//! Padding at the ends of axes.

use super::super::layout::{each_kind, elements};
use super::super::{Array, Data};
use crate::EvaluateError;

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
