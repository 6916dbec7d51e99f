//! Elements put where indices say.

use super::super::layout::elements;
use super::super::{Array, Data};
use super::gather::{Named, along, named};
use crate::EvaluateError;

/// What becomes of an element that is put where one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    Replace,
    Add,
    Multiply,
    Max,
    Min,
}

/// The array with parts named by `indices` combined with `updates`, in order.
pub(crate) fn scatter_nd(
    array: &Array,
    indices: &Array,
    updates: &Array,
    combine: Combine,
) -> Result<Array, EvaluateError> {
    let Named { places, outer, inner } = named(array, indices, 0)?;
    let expected = [outer.as_slice(), &inner].concat();
    if updates.dims() != expected {
        let found = updates.dims();
        let message = format!("expected updates of shape {expected:?}, found {found:?}");
        return Err(EvaluateError::new(message));
    }
    let width = elements(&inner)?;
    let places: Vec<usize> =
        places.into_iter().flat_map(|place| place * width..(place + 1) * width).collect();
    put(array, &places, updates, combine)
}

/// Elements of `updates` combined with those at `places`, one after the other.
fn put(
    array: &Array,
    places: &[usize],
    updates: &Array,
    combine: Combine,
) -> Result<Array, EvaluateError> {
    fn all<T: Clone>(into: &mut [T], places: &[usize], from: &[T], f: impl Fn(&T, &T) -> T) {
        for (&place, value) in places.iter().zip(from) {
            into[place] = f(&into[place], value);
        }
    }
    let mut data = array.data().clone();
    match (&mut data, updates.data()) {
        _ if array.element_type() != updates.element_type() => {
            let (one, two) = (array.element_type(), updates.element_type());
            return Err(EvaluateError::new(format!(
                "elements of type {two} cannot be put among {one}"
            )));
        }
        (Data::Floats(into), Data::Floats(from)) => {
            all(into, places, from, |&a, &b| match combine {
                Combine::Replace => b,
                Combine::Add => a + b,
                Combine::Multiply => a * b,
                Combine::Max => a.max(b),
                Combine::Min => a.min(b),
            })
        }
        (Data::Doubles(into), Data::Doubles(from)) => {
            all(into, places, from, |&a, &b| match combine {
                Combine::Replace => b,
                Combine::Add => a + b,
                Combine::Multiply => a * b,
                Combine::Max => a.max(b),
                Combine::Min => a.min(b),
            })
        }
        (Data::Ints(into), Data::Ints(from)) => all(into, places, from, |&a, &b| match combine {
            Combine::Replace => b,
            Combine::Add => a.wrapping_add(b),
            Combine::Multiply => a.wrapping_mul(b),
            Combine::Max => a.max(b),
            Combine::Min => a.min(b),
        }),
        (Data::Bools(into), Data::Bools(from)) => all(into, places, from, |&a, &b| match combine {
            Combine::Replace => b,
            Combine::Add | Combine::Max => a || b,
            Combine::Multiply | Combine::Min => a && b,
        }),
        (Data::Strings(into), Data::Strings(from)) if combine == Combine::Replace => {
            all(into, places, from, |_, b| b.clone());
        }
        _ => return Err(EvaluateError::new("strings cannot be combined")),
    }
    Array::new(array.element_type(), array.dims(), data)
}

/// `array[indices[i][j]][j] = updates[i][j]` for axis 0, and so on.
pub(crate) fn scatter_elements(
    array: &Array,
    indices: &Array,
    updates: &Array,
    axis: i64,
    combine: Combine,
) -> Result<Array, EvaluateError> {
    if indices.dims() != updates.dims() {
        let (one, two) = (indices.dims(), updates.dims());
        let message = format!("indices of shape {one:?} and updates of shape {two:?} differ");
        return Err(EvaluateError::new(message));
    }
    put(array, &along(array, indices, axis)?, updates, combine)
}
