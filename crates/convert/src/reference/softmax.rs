//! Shares of a whole.

use super::layout::{self, elements};
use super::{Array, Data};
use crate::EvaluateError;

/// Exponentials along an axis, divided by their sum.
pub(crate) fn softmax(array: &Array, axis: i64) -> Result<Array, EvaluateError> {
    along(array, axis, |row| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|value| *value = (*value - largest).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    })
}

/// The logarithm of [`softmax`].
pub(crate) fn log_softmax(array: &Array, axis: i64) -> Result<Array, EvaluateError> {
    along(array, axis, |row| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|value| (value - largest).exp()).sum();
        row.iter_mut().for_each(|value| *value = *value - largest - sum.ln());
    })
}

/// 1 where the largest element along an axis stands (the first of several), 0 elsewhere.
pub(crate) fn hardmax(array: &Array, axis: i64) -> Result<Array, EvaluateError> {
    along(array, axis, |row| {
        let mut best = 0;
        for at in 0..row.len() {
            best = if row[at] > row[best] { at } else { best };
        }
        row.iter_mut().enumerate().for_each(|(at, value)| *value = f64::from(u8::from(at == best)));
    })
}

/// Each row along an axis through a function, in double precision.
pub(crate) fn along(
    array: &Array,
    axis: i64,
    f: impl Fn(&mut [f64]),
) -> Result<Array, EvaluateError> {
    let axis = layout::axis(axis, array.rank())?;
    if array.len() == 0 {
        return Ok(array.clone());
    }
    let (size, inner) = (array.dims()[axis], elements(&array.dims()[axis + 1..])?);
    let block = size * inner;
    let mut row = vec![0.0; size];
    macro_rules! rows {
        ($values:expr, $type:ty) => {{
            let mut values = $values.clone();
            for block in values.chunks_exact_mut(block) {
                for column in 0..inner {
                    for (to, from) in row.iter_mut().zip(block[column..].iter().step_by(inner)) {
                        *to = f64::from(*from);
                    }
                    f(&mut row);
                    for (to, from) in block[column..].iter_mut().step_by(inner).zip(&row) {
                        *to = *from as $type;
                    }
                }
            }
            values
        }};
    }
    let data = match array.data() {
        Data::Floats(values) => Data::Floats(rows!(values, f32)),
        Data::Doubles(values) => Data::Doubles(rows!(values, f64)),
        _ => {
            let found = array.element_type();
            return Err(EvaluateError::new(format!(
                "expected floats, found elements of type {found}"
            )));
        }
    };
    Array::new(array.element_type(), array.dims(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Result<Array, EvaluateError>, values: &[f32]) {
        for (found, expected) in found.unwrap().as_floats().unwrap().iter().zip(values) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn shares_add_up_along_any_axis() {
        let array = Array::floats(&[2, 2], vec![0.0, 1000.0, 3.0f32.ln(), 1000.0]).unwrap();
        check(softmax(&array, 0), &[0.25, 0.5, 0.75, 0.5]);
        check(softmax(&array, -1), &[0.0, 1.0, 0.0, 1.0]);
        check(log_softmax(&array, 0), &[0.25f32.ln(), 0.5f32.ln(), 0.75f32.ln(), 0.5f32.ln()]);
        check(hardmax(&array, 0), &[0.0, 1.0, 1.0, 0.0]);
        assert!(softmax(&array, 2).is_err());
        assert!(softmax(&Array::ints(&[1], vec![1]).unwrap(), 0).is_err());
    }
}
