//! Running sums and products.

use super::super::layout::{self, elements};
use super::super::{Array, Data};
use crate::EvaluateError;

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
