//! Where the largest and the smallest element is.

use modelyard_graph::ElementType;

use super::super::{Array, Data};
use super::rows::{Over, rows};
use crate::EvaluateError;

/// Which of several equal elements is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    First,
    Last,
}

/// Where the largest or smallest element of a row that is not empty stands; the first NaN wins.
pub(super) fn best<T: PartialOrd + Copy>(row: &[T], largest: bool, tie: Tie) -> usize {
    let mut found = 0;
    for (at, value) in row.iter().enumerate() {
        let champion = row[found];
        if champion.partial_cmp(&champion).is_none() {
            return found;
        }
        let better = match value.partial_cmp(&champion) {
            None => true,
            Some(order) if order.is_eq() => tie == Tie::Last,
            Some(order) => order.is_gt() == largest,
        };
        if better {
            found = at;
        }
    }
    found
}

/// Where the largest elements along an axis stand, as 64-bit integers.
pub(crate) fn arg_max(
    array: &Array,
    axis: i64,
    keep_dims: bool,
    tie: Tie,
) -> Result<Array, EvaluateError> {
    arg(array, Over { axes: Some(&[axis]), keep_dims }, true, tie)
}

/// Where the smallest elements along an axis stand, as 64-bit integers.
pub(crate) fn arg_min(
    array: &Array,
    axis: i64,
    keep_dims: bool,
    tie: Tie,
) -> Result<Array, EvaluateError> {
    arg(array, Over { axes: Some(&[axis]), keep_dims }, false, tie)
}

fn arg(array: &Array, over: Over<'_>, largest: bool, tie: Tie) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?.not_empty("position")?;
    let found = match rows.array.data() {
        Data::Floats(values) => rows.each(values, |row| best(row, largest, tie) as i64),
        Data::Ints(values) if array.element_type() != ElementType::Uint64 => {
            rows.each(values, |row| best(row, largest, tie) as i64)
        }
        Data::Bools(values) => rows.each(values, |row| best(row, largest, tie) as i64),
        _ => {
            let values = rows.array.to_f64s()?;
            rows.each(&values, |row| best(row, largest, tie) as i64)
        }
    };
    Array::ints(&rows.dims, found)
}
