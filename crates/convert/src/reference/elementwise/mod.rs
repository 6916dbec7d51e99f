//! What is done to each element, or to each pair of elements.

mod arithmetic;
mod cast;
mod compare;
mod pairs;
#[cfg(test)]
mod tests;

use modelyard_graph::ElementType;

use super::{Array, Data};
use crate::EvaluateError;

pub(crate) use arithmetic::{add, div, floor_div, fmod, max, min, modulo, mul, pow, sub};
pub(crate) use cast::cast;
pub(crate) use compare::{Comparison, compare, logical, select};
pub(crate) use pairs::{zip, zip_floats, zip_ints};

use pairs::wrong_kind;

/// Each element through a function of numbers. Floats are computed in double precision and rounded
/// to their type; integers are cut off and saturated; booleans are refused.
pub(crate) fn map(array: &Array, f: impl Fn(f64) -> f64) -> Result<Array, EvaluateError> {
    let data = match array.data() {
        Data::Floats(values) => {
            Data::Floats(values.iter().map(|&value| f(value.into()) as f32).collect())
        }
        Data::Doubles(values) => Data::Doubles(values.iter().map(|&value| f(value)).collect()),
        Data::Ints(values) => {
            Data::Ints(values.iter().map(|&value| f(value as f64) as i64).collect())
        }
        _ => return Err(wrong_kind("a number", array)),
    };
    Array::new(array.element_type(), array.dims(), data)
}

/// Each element of a float array through a function of 32-bit floats: the fast way. Doubles go
/// through it too, so only for functions that are exact in both.
pub(crate) fn map_floats(array: &Array, f: impl Fn(f32) -> f32) -> Result<Array, EvaluateError> {
    let data = match array.data() {
        Data::Floats(values) => Data::Floats(values.iter().map(|&value| f(value)).collect()),
        Data::Doubles(values) => {
            Data::Doubles(values.iter().map(|&value| f64::from(f(value as f32))).collect())
        }
        _ => return Err(wrong_kind("a float", array)),
    };
    Array::new(array.element_type(), array.dims(), data)
}

/// Each integer through a function; the result is wrapped to the type.
pub(crate) fn map_ints(array: &Array, f: impl Fn(i64) -> i64) -> Result<Array, EvaluateError> {
    let values = array.as_ints()?.iter().map(|&value| f(value)).collect();
    Array::new(array.element_type(), array.dims(), Data::Ints(values))
}

/// Each boolean negated.
pub(crate) fn not(array: &Array) -> Result<Array, EvaluateError> {
    Array::bools(array.dims(), array.as_bools()?.iter().map(|&value| !value).collect())
}

/// A test on each number.
pub(crate) fn test(array: &Array, f: impl Fn(f64) -> bool) -> Result<Array, EvaluateError> {
    Array::bools(array.dims(), array.to_f64s()?.into_iter().map(f).collect())
}

/// Absolute values; of the least integer, itself.
pub(crate) fn abs(array: &Array) -> Result<Array, EvaluateError> {
    match array.data() {
        Data::Ints(_) if array.element_type() == ElementType::Uint64 => Ok(array.clone()),
        Data::Ints(_) => map_ints(array, i64::wrapping_abs),
        _ => map(array, f64::abs),
    }
}

/// Numbers with their signs changed.
pub(crate) fn neg(array: &Array) -> Result<Array, EvaluateError> {
    match array.data() {
        Data::Ints(_) => map_ints(array, i64::wrapping_neg),
        _ => map(array, |value| -value),
    }
}

/// -1, 0 or 1; NaN stays.
pub(crate) fn sign(array: &Array) -> Result<Array, EvaluateError> {
    let of = |value: f64| if value == 0.0 || value.is_nan() { value } else { value.signum() };
    match array.data() {
        Data::Ints(_) if array.element_type() == ElementType::Uint64 => {
            map_ints(array, |value| i64::from(value != 0))
        }
        Data::Ints(_) => map_ints(array, i64::signum),
        _ => map(array, of),
    }
}

/// Numbers within bounds. NaN stays.
pub(crate) fn clamp(array: &Array, low: f64, high: f64) -> Result<Array, EvaluateError> {
    let within = |value: f64| if value.is_nan() { value } else { value.max(low).min(high) };
    match array.data() {
        Data::Ints(_) => {
            let (low, high) = (low as i64, high as i64);
            map_ints(array, |value| value.max(low).min(high))
        }
        _ => map(array, within),
    }
}

/// Rounds to the nearest integer, halves to the even one.
pub(crate) fn round_half_even(array: &Array) -> Result<Array, EvaluateError> {
    map(array, f64::round_ties_even)
}
