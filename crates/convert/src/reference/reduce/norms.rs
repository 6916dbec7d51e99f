//! Norms, logarithms of sums, variance.

use super::super::Array;
use super::super::array::is_integer;
use super::rows::{Over, rows};
use crate::EvaluateError;

/// Sums of absolute values.
pub(crate) fn norm_l1(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    rows(array, over)?.numbers(|row| row.map(f64::abs).sum())
}

/// Roots of sums of squares.
pub(crate) fn norm_l2(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    rows(array, over)?.numbers(|row| row.map(|value| value * value).sum::<f64>().sqrt())
}

/// `(Σ |x|^p)^(1/p)`; for an infinite `p` the largest or smallest magnitude, for 0 the number of
/// elements that are not 0.
pub(crate) fn norm(array: &Array, p: f64, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    rows.numbers(|row| {
        let magnitudes = row.map(f64::abs);
        if p == f64::INFINITY {
            magnitudes.fold(0.0, f64::max)
        } else if p == f64::NEG_INFINITY {
            magnitudes.fold(f64::INFINITY, f64::min)
        } else if p == 0.0 {
            magnitudes.filter(|&value| value != 0.0).count() as f64
        } else {
            magnitudes.map(|value| value.powf(p)).sum::<f64>().powf(p.recip())
        }
    })
}

/// Sums of squares.
pub(crate) fn sum_of_squares(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    rows(array, over)?.numbers(|row| row.map(|value| value * value).sum())
}

/// Logarithms of sums of exponentials, without overflow.
pub(crate) fn log_sum_exp(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    rows.numbers(|row| {
        let values: Vec<f64> = row.collect();
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest.is_infinite() {
            return if values.iter().any(|value| value.is_nan()) { f64::NAN } else { largest };
        }
        largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
    })
}

/// Mean squared distances from the mean; divided by the number of elements less `correction`.
pub(crate) fn variance(
    array: &Array,
    correction: f64,
    over: Over<'_>,
) -> Result<Array, EvaluateError> {
    if is_integer(array.element_type()) {
        return Err(EvaluateError::new("expected floats for a variance, found integers"));
    }
    let rows = rows(array, over)?;
    let width = rows.width as f64;
    rows.numbers(|row| {
        let values: Vec<f64> = row.collect();
        let mean = values.iter().sum::<f64>() / width;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        squares / (width - correction).max(0.0)
    })
}
