//! What is done to each element, or to each pair of elements.

use modelyard_graph::ElementType;

use super::array::is_integer;
use super::layout::{self, View, broadcast, broadcast_strides, each_run};
use super::{Array, Data};
use crate::EvaluateError;

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

/// Pairs of elements through a function, broadcast as in numpy: one for each kind of number. Both
/// must be of the same type; integers wrap to it.
pub(crate) fn zip(
    one: &Array,
    two: &Array,
    floats: impl Fn(f32, f32) -> f32,
    doubles: impl Fn(f64, f64) -> f64,
    ints: impl Fn(i64, i64) -> i64,
) -> Result<Array, EvaluateError> {
    let (dims, data) = match (one.data(), two.data()) {
        _ if one.element_type() != two.element_type() => return Err(different(one, two)),
        (Data::Floats(a), Data::Floats(b)) => {
            let (dims, values) = pairs((a, one.dims()), (b, two.dims()), |&a, &b| floats(a, b))?;
            (dims, Data::Floats(values))
        }
        (Data::Doubles(a), Data::Doubles(b)) => {
            let (dims, values) = pairs((a, one.dims()), (b, two.dims()), |&a, &b| doubles(a, b))?;
            (dims, Data::Doubles(values))
        }
        (Data::Ints(a), Data::Ints(b)) => {
            let (dims, values) = pairs((a, one.dims()), (b, two.dims()), |&a, &b| ints(a, b))?;
            (dims, Data::Ints(values))
        }
        _ => return Err(wrong_kind("a number", one)),
    };
    Array::new(one.element_type(), &dims, data)
}

/// Pairs of floats through one function.
pub(crate) fn zip_floats(
    one: &Array,
    two: &Array,
    f: impl Fn(f64, f64) -> f64,
) -> Result<Array, EvaluateError> {
    if one.as_ints().is_ok() {
        return Err(wrong_kind("a float", one));
    }
    zip(one, two, |a, b| f(a.into(), b.into()) as f32, &f, |a, _| a)
}

/// Pairs of integers through one function.
pub(crate) fn zip_ints(
    one: &Array,
    two: &Array,
    f: impl Fn(i64, i64) -> i64,
) -> Result<Array, EvaluateError> {
    one.as_ints()?;
    two.as_ints()?;
    zip(one, two, |a, _| a, |a, _| a, f)
}

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

/// How two elements are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Comparison::Equal => a == b,
            Comparison::NotEqual => a != b,
            Comparison::Less => a < b,
            Comparison::LessOrEqual => a <= b,
            Comparison::Greater => a > b,
            Comparison::GreaterOrEqual => a >= b,
        }
    }
}

/// Compares pairs of elements of one type, broadcast as in numpy. NaN equals nothing.
pub(crate) fn compare(
    one: &Array,
    two: &Array,
    comparison: Comparison,
) -> Result<Array, EvaluateError> {
    if one.element_type() != two.element_type() {
        return Err(different(one, two));
    }
    let (a, b) = (one.dims(), two.dims());
    let unsigned = one.element_type() == ElementType::Uint64;
    let (dims, values) = match (one.data(), two.data()) {
        (Data::Floats(x), Data::Floats(y)) => pairs((x, a), (y, b), |x, y| comparison.holds(x, y))?,
        (Data::Doubles(x), Data::Doubles(y)) => {
            pairs((x, a), (y, b), |x, y| comparison.holds(x, y))?
        }
        (Data::Ints(x), Data::Ints(y)) if unsigned => {
            pairs((x, a), (y, b), |&x, &y| comparison.holds(&(x as u64), &(y as u64)))?
        }
        (Data::Ints(x), Data::Ints(y)) => pairs((x, a), (y, b), |x, y| comparison.holds(x, y))?,
        (Data::Bools(x), Data::Bools(y)) => pairs((x, a), (y, b), |x, y| comparison.holds(x, y))?,
        (Data::Strings(x), Data::Strings(y)) => {
            pairs((x, a), (y, b), |x, y| comparison.holds(x, y))?
        }
        _ => return Err(different(one, two)),
    };
    Array::bools(&dims, values)
}

/// Pairs of booleans through a function.
pub(crate) fn logical(
    one: &Array,
    two: &Array,
    f: impl Fn(bool, bool) -> bool,
) -> Result<Array, EvaluateError> {
    let (a, b) = (one.as_bools()?, two.as_bools()?);
    let (dims, values) = pairs((a, one.dims()), (b, two.dims()), |&a, &b| f(a, b))?;
    Array::bools(&dims, values)
}

/// Elements of `yes` where `condition` holds and of `no` elsewhere; all three broadcast.
pub(crate) fn select(condition: &Array, yes: &Array, no: &Array) -> Result<Array, EvaluateError> {
    if yes.element_type() != no.element_type() {
        return Err(different(yes, no));
    }
    let dims = broadcast(&broadcast(condition.dims(), yes.dims())?, no.dims())?;
    let spread = |array: &Array| {
        let strides = broadcast_strides(array.dims(), &dims);
        layout::view(array, &View { dims: dims.clone(), strides, offset: 0 })
    };
    let condition = spread(condition)?;
    let chosen = condition.as_bools()?;
    fn pick<T>(chosen: &[bool], yes: Vec<T>, no: Vec<T>) -> Vec<T> {
        let both = yes.into_iter().zip(no).zip(chosen);
        both.map(|((yes, no), &chosen)| if chosen { yes } else { no }).collect()
    }
    let data = match (spread(yes)?.into_data(), spread(no)?.into_data()) {
        (Data::Floats(a), Data::Floats(b)) => Data::Floats(pick(chosen, a, b)),
        (Data::Doubles(a), Data::Doubles(b)) => Data::Doubles(pick(chosen, a, b)),
        (Data::Ints(a), Data::Ints(b)) => Data::Ints(pick(chosen, a, b)),
        (Data::Bools(a), Data::Bools(b)) => Data::Bools(pick(chosen, a, b)),
        (Data::Strings(a), Data::Strings(b)) => Data::Strings(pick(chosen, a, b)),
        _ => return Err(different(yes, no)),
    };
    Array::new(yes.element_type(), &dims, data)
}

/// Elements as another type: floats to integers are cut off towards zero (saturated at 64 bits,
/// then wrapped; NaN is 0), booleans are 0 and 1, and what is not 0 is true. Strings are refused.
pub(crate) fn cast(array: &Array, to: ElementType) -> Result<Array, EvaluateError> {
    if array.element_type() == to {
        return Ok(array.clone());
    }
    let unsigned = array.element_type() == ElementType::Uint64;
    let data = match array.data() {
        Data::Ints(values) if is_integer(to) => Data::Ints(values.clone()),
        Data::Ints(values) if to == ElementType::Bool => {
            Data::Bools(values.iter().map(|&value| value != 0).collect())
        }
        Data::Ints(values) if unsigned => {
            let values = values.iter().map(|&value| value as u64 as f64).collect();
            return Array::from_f64s(to, array.dims(), values);
        }
        Data::Ints(values) if to == ElementType::Float32 => {
            Data::Floats(values.iter().map(|&value| value as f32).collect())
        }
        Data::Floats(values) if to == ElementType::Uint64 => {
            Data::Ints(values.iter().map(|&value| as_unsigned(value.into())).collect())
        }
        Data::Doubles(values) if to == ElementType::Uint64 => {
            Data::Ints(values.iter().map(|&value| as_unsigned(value)).collect())
        }
        Data::Floats(values)
            if matches!(
                to,
                ElementType::Float32 | ElementType::Float16 | ElementType::Bfloat16
            ) =>
        {
            Data::Floats(values.clone())
        }
        Data::Strings(_) => return Err(wrong_kind("a number", array)),
        _ if to == ElementType::String => {
            return Err(EvaluateError::new("a number cannot be cast to a string"));
        }
        _ => return Array::from_f64s(to, array.dims(), array.to_f64s()?),
    };
    Array::new(to, array.dims(), data)
}

fn as_unsigned(value: f64) -> i64 {
    if value < 0.0 { value as i64 } else { value as u64 as i64 }
}

/// Shape and elements.
type Elements<'a, T> = (&'a [T], &'a [usize]);

/// Pairs through a function, broadcast.
fn pairs<A, B, C>(
    (a, a_dims): Elements<'_, A>,
    (b, b_dims): Elements<'_, B>,
    f: impl Fn(&A, &B) -> C,
) -> Result<(Vec<usize>, Vec<C>), EvaluateError> {
    if a_dims == b_dims {
        return Ok((a_dims.to_vec(), a.iter().zip(b).map(|(a, b)| f(a, b)).collect()));
    }
    let dims = broadcast(a_dims, b_dims)?;
    let mut out = Vec::with_capacity(layout::elements(&dims)?);
    let strides = [broadcast_strides(a_dims, &dims), broadcast_strides(b_dims, &dims)];
    let (joined, [one, two]) = joined(&dims, &strides);
    let (&last, outer) = joined.split_last().unwrap_or((&1, &[]));
    let (&a_step, a_outer) = one.split_last().unwrap_or((&1, &[]));
    let (&b_step, b_outer) = two.split_last().unwrap_or((&1, &[]));
    if last > 0 {
        each_run(outer, [a_outer, b_outer], [0, 0], |[a_at, b_at]| {
            let (a, b) = (&a[a_at as usize..], &b[b_at as usize..]);
            match (a_step, b_step) {
                (1, 1) => out.extend(a[..last].iter().zip(&b[..last]).map(|(a, b)| f(a, b))),
                (1, 0) => out.extend(a[..last].iter().map(|a| f(a, &b[0]))),
                (0, 1) => out.extend(b[..last].iter().map(|b| f(&a[0], b))),
                (a_step, b_step) => {
                    let (a_step, b_step) = (a_step as usize, b_step as usize);
                    out.extend((0..last).map(|at| f(&a[at * a_step], &b[at * b_step])));
                }
            }
        });
    }
    Ok((dims, out))
}

/// Axes joined where the elements of both follow each other.
fn joined(dims: &[usize], strides: &[Vec<isize>; 2]) -> (Vec<usize>, [Vec<isize>; 2]) {
    let mut joined: Vec<usize> = Vec::new();
    let mut out = [Vec::new(), Vec::new()];
    for (axis, &dim) in dims.iter().enumerate().filter(|(_, dim)| **dim != 1) {
        let steps = [strides[0][axis], strides[1][axis]];
        let follows =
            (0..2).all(|side| out[side].last() == Some(&steps[side].wrapping_mul(dim as isize)));
        match joined.last_mut() {
            Some(last) if follows => {
                *last *= dim;
                for side in 0..2 {
                    if let Some(step) = out[side].last_mut() {
                        *step = steps[side];
                    }
                }
            }
            _ => {
                joined.push(dim);
                out[0].push(steps[0]);
                out[1].push(steps[1]);
            }
        }
    }
    (joined, out)
}

fn no_zero(divisor: &Array) -> Result<(), EvaluateError> {
    match divisor.data() {
        Data::Ints(values) if values.contains(&0) => {
            Err(EvaluateError::new("an integer is divided by 0"))
        }
        _ => Ok(()),
    }
}

fn different(one: &Array, two: &Array) -> EvaluateError {
    let (one, two) = (one.element_type(), two.element_type());
    EvaluateError::new(format!("elements of type {one} and {two} were used together"))
}

fn wrong_kind(expected: &str, array: &Array) -> EvaluateError {
    let found = array.element_type();
    EvaluateError::new(format!("expected {expected}, found elements of type {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(dims: &[usize], values: &[f32]) -> Array {
        Array::floats(dims, values.to_vec()).unwrap()
    }

    fn ints(values: &[i64]) -> Array {
        Array::ints(&[values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn pairs_broadcast() {
        let image = floats(&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let bias = floats(&[2, 1, 1], &[10.0, 20.0]);
        assert_eq!(add(&image, &bias).unwrap().as_floats().unwrap(), [11.0, 12.0, 23.0, 24.0]);
        let column = floats(&[2, 1], &[1.0, 2.0]);
        let row = floats(&[3], &[10.0, 20.0, 30.0]);
        let sum = sub(&row, &column).unwrap();
        assert_eq!(sum, floats(&[2, 3], &[9.0, 19.0, 29.0, 8.0, 18.0, 28.0]));
        assert!(add(&row, &floats(&[2], &[0.0, 0.0])).is_err());
        assert!(add(&row, &ints(&[1])).is_err());
        let empty = floats(&[0, 3], &[]);
        assert_eq!(add(&empty, &row).unwrap().dims(), [0, 3]);
    }

    #[test]
    fn integers_divide_as_python_and_c_do() {
        let (a, b) = (ints(&[7, -7, 7, -7]), ints(&[2, 2, -2, -2]));
        assert_eq!(div(&a, &b).unwrap(), ints(&[3, -3, -3, 3]));
        assert_eq!(floor_div(&a, &b).unwrap(), ints(&[3, -4, -4, 3]));
        assert_eq!(modulo(&a, &b).unwrap(), ints(&[1, 1, -1, -1]));
        assert_eq!(fmod(&a, &b).unwrap(), ints(&[1, -1, 1, -1]));
        assert!(div(&a, &ints(&[0])).is_err());
        assert_eq!(pow(&ints(&[2, -1, 3]), &ints(&[10, -3, -1])).unwrap(), ints(&[1024, -1, 0]));
    }

    #[test]
    fn integers_wrap_to_their_type() {
        let bytes = |values: &[i64]| {
            Array::new(ElementType::Uint8, &[values.len()], Data::Ints(values.to_vec())).unwrap()
        };
        assert_eq!(add(&bytes(&[250]), &bytes(&[10])).unwrap(), bytes(&[4]));
        let large = Array::new(ElementType::Uint64, &[1], Data::Ints(vec![-1])).unwrap();
        let two = Array::new(ElementType::Uint64, &[1], Data::Ints(vec![2])).unwrap();
        assert_eq!(div(&large, &two).unwrap().as_ints().unwrap(), [i64::MAX]);
        assert_eq!(max(&large, &two).unwrap(), large);
        assert_eq!(compare(&large, &two, Comparison::Less).unwrap().as_bools().unwrap(), [false]);
    }

    #[test]
    fn nan_wins_and_equals_nothing() {
        let (a, b) = (floats(&[3], &[f32::NAN, 1.0, 2.0]), floats(&[3], &[1.0, f32::NAN, 1.0]));
        let largest = max(&a, &b).unwrap();
        assert!(largest.as_floats().unwrap()[..2].iter().all(|value| value.is_nan()));
        assert_eq!(largest.as_floats().unwrap()[2], 2.0);
        assert_eq!(min(&a, &b).unwrap().as_floats().unwrap()[2], 1.0);
        let same = compare(&a, &a, Comparison::Equal).unwrap();
        assert_eq!(same.as_bools().unwrap(), [false, true, true]);
    }

    #[test]
    fn selects_by_condition() {
        let condition = Array::bools(&[2, 1], vec![true, false]).unwrap();
        let chosen = select(&condition, &ints(&[1, 2]), &ints(&[3])).unwrap();
        assert_eq!(chosen.dims(), [2, 2]);
        assert_eq!(chosen.as_ints().unwrap(), [1, 2, 3, 3]);
    }

    #[test]
    fn casts_cut_off() {
        let values = floats(&[4], &[-1.7, 1.7, f32::NAN, 300.0]);
        let bytes = cast(&values, ElementType::Uint8).unwrap();
        assert_eq!(bytes.as_ints().unwrap(), [255, 1, 0, 44]);
        assert_eq!(
            cast(&bytes, ElementType::Bool).unwrap().as_bools().unwrap(),
            [true, true, false, true]
        );
        let large = cast(&floats(&[1], &[1.0e19]), ElementType::Uint64).unwrap();
        assert_eq!(cast(&large, ElementType::Float32).unwrap().as_floats().unwrap(), [1.0e19]);
        assert_eq!(clamp(&values, 0.0, 1.0).unwrap().as_floats().unwrap()[..2], [0.0, 1.0]);
        assert_eq!(
            round_half_even(&floats(&[2], &[2.5, -1.5])).unwrap(),
            floats(&[2], &[2.0, -2.0])
        );
    }
}
