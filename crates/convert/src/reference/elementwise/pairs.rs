//! Pairs of elements of two arrays that are broadcast together.

use super::super::layout::{self, broadcast, broadcast_strides, each_run};
use super::super::{Array, Data};
use crate::EvaluateError;

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

/// Shape and elements.
type Elements<'a, T> = (&'a [T], &'a [usize]);

/// Pairs through a function, broadcast.
pub(super) fn pairs<A, B, C>(
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

pub(super) fn different(one: &Array, two: &Array) -> EvaluateError {
    let (one, two) = (one.element_type(), two.element_type());
    EvaluateError::new(format!("elements of type {one} and {two} were used together"))
}

pub(super) fn wrong_kind(expected: &str, array: &Array) -> EvaluateError {
    let found = array.element_type();
    EvaluateError::new(format!("expected {expected}, found elements of type {found}"))
}
