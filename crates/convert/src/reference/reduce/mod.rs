//! Reductions: many elements become one.

mod norms;
mod places;
mod rows;
#[cfg(test)]
mod tests;

use modelyard_graph::ElementType;

use super::{Array, Data};
use crate::EvaluateError;

pub(crate) use norms::{log_sum_exp, norm, norm_l1, norm_l2, sum_of_squares, variance};
pub(crate) use places::{Tie, arg_max, arg_min};
pub(crate) use rows::Over;

use places::best;
use rows::rows;

/// Sums; of integers wrapped to the type.
pub(crate) fn sum(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    match rows.array.data() {
        Data::Floats(values) => {
            let sum = |row: &[f32]| row.iter().map(|&value| f64::from(value)).sum::<f64>() as f32;
            let data = Data::Floats(rows.each(values, sum));
            Array::new(array.element_type(), &rows.dims, data)
        }
        Data::Ints(values) => {
            let sum = |row: &[i64]| row.iter().fold(0i64, |sum, &value| sum.wrapping_add(value));
            Array::new(array.element_type(), &rows.dims, Data::Ints(rows.each(values, sum)))
        }
        _ => rows.numbers(|row| row.sum()),
    }
}

/// Means; of no elements NaN. Those of integers are cut off.
pub(crate) fn mean(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    let width = rows.width as f64;
    rows.numbers(|row| row.sum::<f64>() / width)
}

/// Products; of integers wrapped to the type.
pub(crate) fn prod(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    match rows.array.data() {
        Data::Ints(values) => {
            let product =
                |row: &[i64]| row.iter().fold(1i64, |all, &value| all.wrapping_mul(value));
            Array::new(array.element_type(), &rows.dims, Data::Ints(rows.each(values, product)))
        }
        _ => rows.numbers(|row| row.product()),
    }
}

/// Largest elements; NaN wins.
pub(crate) fn max(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    extreme(array, over, true)
}

/// Smallest elements; NaN wins.
pub(crate) fn min(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    extreme(array, over, false)
}

fn extreme(array: &Array, over: Over<'_>, largest: bool) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?.not_empty(if largest { "largest" } else { "smallest" })?;
    let data = match rows.array.data() {
        Data::Floats(values) => {
            Data::Floats(rows.each(values, |row| row[best(row, largest, Tie::First)]))
        }
        Data::Doubles(values) => {
            Data::Doubles(rows.each(values, |row| row[best(row, largest, Tie::First)]))
        }
        Data::Ints(values) if array.element_type() == ElementType::Uint64 => {
            let of = |row: &[i64]| {
                let all = row.iter().map(|&value| value as u64);
                (if largest { all.max() } else { all.min() }).unwrap_or(0) as i64
            };
            Data::Ints(rows.each(values, of))
        }
        Data::Ints(values) => {
            Data::Ints(rows.each(values, |row| row[best(row, largest, Tie::First)]))
        }
        Data::Bools(values) => {
            Data::Bools(rows.each(values, |row| row.contains(&largest) == largest))
        }
        Data::Strings(_) => return Err(EvaluateError::new("strings have no largest one")),
    };
    Array::new(array.element_type(), &rows.dims, data)
}

/// Whether any element is true.
pub(crate) fn any(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    let values = rows.each(rows.array.as_bools()?, |row| row.contains(&true));
    Array::bools(&rows.dims, values)
}

/// Whether all elements are true.
pub(crate) fn all(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    let values = rows.each(rows.array.as_bools()?, |row| !row.contains(&false));
    Array::bools(&rows.dims, values)
}
