//! Comparison, logic, and choice by a condition.

use modelyard_graph::ElementType;

use super::super::layout::{self, View, broadcast, broadcast_strides};
use super::super::{Array, Data};
use super::pairs::{different, pairs};
use crate::EvaluateError;

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
