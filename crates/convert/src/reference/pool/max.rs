//! The largest element of each window.

use super::super::{Array, Data};
use super::Pool;
use super::windows::windows;
use crate::EvaluateError;

/// The largest element of each window; pads are never the largest, NaN always. An error where a
/// window has nothing but pads.
pub(crate) fn max_pool(array: &Array, pool: &Pool) -> Result<Array, EvaluateError> {
    let windows = windows(array, pool)?;
    if windows.counts(|at, position| windows.seen(at, position)).contains(&0) {
        return Err(only_pads());
    }
    let data = match array.data() {
        Data::Floats(values) => {
            Data::Floats(windows.fold(values, f32::NEG_INFINITY, |best, value| {
                if value > best || value.is_nan() { value } else { best }
            }))
        }
        Data::Doubles(values) => {
            Data::Doubles(windows.fold(values, f64::NEG_INFINITY, |best, value| {
                if value > best || value.is_nan() { value } else { best }
            }))
        }
        Data::Ints(values) => {
            Data::Ints(windows.fold(values, i64::MIN, |best, value| best.max(value)))
        }
        _ => return Err(EvaluateError::new("expected numbers to find the largest of")),
    };
    Array::new(array.element_type(), &windows.dims, data)
}

fn only_pads() -> EvaluateError {
    EvaluateError::new("a window stands on nothing but padding")
}

/// As [`max_pool`], and where in its image (row-major) the largest element stands: the first of
/// several.
pub(crate) fn max_pool_with_indices(
    array: &Array,
    pool: &Pool,
) -> Result<(Array, Array), EvaluateError> {
    fn largest<T: PartialOrd + Copy>(image: &[T], window: &[usize]) -> Option<usize> {
        let (&first, others) = window.split_first()?;
        let better = |found: usize, &place: &usize| {
            let (best, value) = (image[found], image[place]);
            let nan = |value: T| value.partial_cmp(&value).is_none();
            if value > best || (nan(value) && !nan(best)) { place } else { found }
        };
        Some(others.iter().fold(first, better))
    }
    let windows = windows(array, pool)?;
    let found = match array.data() {
        Data::Floats(values) => windows.each(values, largest),
        Data::Doubles(values) => windows.each(values, largest),
        Data::Ints(values) => windows.each(values, largest),
        _ => return Err(EvaluateError::new("expected numbers to find the largest of")),
    };
    let Some(places) = found.into_iter().collect::<Option<Vec<usize>>>() else {
        return Err(only_pads());
    };
    let full = |at: usize, place: usize| at / windows.output * windows.input + place;
    let all = places.iter().enumerate().map(|(at, &place)| full(at, place));
    let data = match array.data() {
        Data::Floats(values) => Data::Floats(all.map(|at| values[at]).collect()),
        Data::Doubles(values) => Data::Doubles(all.map(|at| values[at]).collect()),
        Data::Ints(values) => Data::Ints(all.map(|at| values[at]).collect()),
        _ => return Err(EvaluateError::new("expected numbers to find the largest of")),
    };
    let indices = places.iter().map(|&place| place as i64).collect();
    Ok((
        Array::new(array.element_type(), &windows.dims, data)?,
        Array::ints(&windows.dims, indices)?,
    ))
}
