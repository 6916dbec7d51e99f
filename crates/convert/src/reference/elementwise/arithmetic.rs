//! Arithmetic of two arrays.

use modelyard_graph::ElementType;

use super::super::{Array, Data};
use super::pairs::zip;
use crate::EvaluateError;

pub(crate) fn add(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    zip(one, two, |a, b| a + b, |a, b| a + b, i64::wrapping_add)
}

pub(crate) fn sub(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    zip(one, two, |a, b| a - b, |a, b| a - b, i64::wrapping_sub)
}

pub(crate) fn mul(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    zip(one, two, |a, b| a * b, |a, b| a * b, i64::wrapping_mul)
}

/// Quotients; of integers cut off towards zero.
pub(crate) fn div(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    no_zero(two)?;
    let unsigned = one.element_type() == ElementType::Uint64;
    let ints = move |a: i64, b: i64| match unsigned {
        true => (a as u64).checked_div(b as u64).unwrap_or(0) as i64,
        false => {
            if b == 0 {
                0
            } else {
                a.wrapping_div(b)
            }
        }
    };
    zip(one, two, |a, b| a / b, |a, b| a / b, ints)
}

/// Quotients rounded down, as Python's `//`.
pub(crate) fn floor_div(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    no_zero(two)?;
    if one.element_type() == ElementType::Uint64 {
        return div(one, two);
    }
    let ints = |a: i64, b: i64| {
        if b == 0 {
            return 0;
        }
        let quotient = a.wrapping_div(b);
        let below = a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
        if below { quotient.wrapping_sub(1) } else { quotient }
    };
    zip(one, two, |a, b| (a / b).floor(), |a, b| (a / b).floor(), ints)
}

/// Remainders with the sign of the divisor, as Python's `%`.
pub(crate) fn modulo(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    no_zero(two)?;
    let unsigned = one.element_type() == ElementType::Uint64;
    let ints = move |a: i64, b: i64| {
        if b == 0 {
            return 0;
        }
        if unsigned {
            return (a as u64 % b as u64) as i64;
        }
        let rest = a.wrapping_rem(b);
        if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
    };
    let floats = |a: f32, b: f32| {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
    };
    let doubles = |a: f64, b: f64| {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
    };
    zip(one, two, floats, doubles, ints)
}

/// Remainders with the sign of the dividend, as C's `fmod`.
pub(crate) fn fmod(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    no_zero(two)?;
    let unsigned = one.element_type() == ElementType::Uint64;
    let ints = move |a: i64, b: i64| match (unsigned, b) {
        (_, 0) => 0,
        (true, _) => (a as u64 % b as u64) as i64,
        (false, _) => a.wrapping_rem(b),
    };
    zip(one, two, |a, b| a % b, |a, b| a % b, ints)
}

/// Powers; of integers exact and wrapped, with 0 for negative exponents unless the base is 1 or -1.
pub(crate) fn pow(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    zip(one, two, |a, b| f64::from(a).powf(b.into()) as f32, f64::powf, int_pow)
}

fn int_pow(base: i64, exponent: i64) -> i64 {
    match (base, exponent) {
        (1, _) => 1,
        (-1, _) => {
            if exponent % 2 == 0 {
                1
            } else {
                -1
            }
        }
        (_, ..0) => 0,
        // A power beyond 2^32 of an even base has no bits left; of an odd one it repeats.
        _ => {
            let (mut base, mut exponent, mut product) = (base, exponent, 1i64);
            while exponent > 0 {
                if exponent & 1 == 1 {
                    product = product.wrapping_mul(base);
                }
                base = base.wrapping_mul(base);
                exponent >>= 1;
            }
            product
        }
    }
}

/// The smaller ones; NaN wins.
pub(crate) fn min(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    extreme(one, two, false)
}

/// The larger ones; NaN wins.
pub(crate) fn max(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    extreme(one, two, true)
}

fn extreme(one: &Array, two: &Array, largest: bool) -> Result<Array, EvaluateError> {
    let unsigned = one.element_type() == ElementType::Uint64;
    let ints = move |a: i64, b: i64| {
        let larger = if unsigned { (a as u64) > (b as u64) } else { a > b };
        if larger == largest { a } else { b }
    };
    let floats = move |a: f32, b: f32| {
        if a.is_nan() || ((a > b) == largest && a != b && !b.is_nan()) { a } else { b }
    };
    let doubles = move |a: f64, b: f64| {
        if a.is_nan() || ((a > b) == largest && a != b && !b.is_nan()) { a } else { b }
    };
    zip(one, two, floats, doubles, ints)
}

fn no_zero(divisor: &Array) -> Result<(), EvaluateError> {
    match divisor.data() {
        Data::Ints(values) if values.contains(&0) => {
            Err(EvaluateError::new("an integer is divided by 0"))
        }
        _ => Ok(()),
    }
}
