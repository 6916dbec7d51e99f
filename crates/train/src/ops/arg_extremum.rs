//! ArgMax and ArgMin: where along an axis the largest or smallest element stands. They have no
//! gradient. NaN counts as the largest number.

use std::cmp::Ordering;

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::math::picks::around;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Debug)]
struct ArgExtremum {
    axis: i64,
    keeps_axis: bool,
    largest: bool,
    /// Of equal elements, the last instead of the first.
    last: bool,
}

impl ArgExtremum {
    fn of<T: Copy>(
        &self,
        values: &[T],
        (outer, size, inner): (usize, usize, usize),
        compare: impl Fn(T, T) -> Ordering,
    ) -> Vec<i64> {
        let better = |one: T, two: T| match compare(one, two) {
            Ordering::Greater => self.largest,
            Ordering::Less => !self.largest,
            Ordering::Equal => self.last,
        };
        let place = |lane: usize| {
            let start = lane / inner * size * inner + lane % inner;
            let at = |place: usize| values[start + place * inner];
            (1..size).fold(0, |best, place| if better(at(place), at(best)) { place } else { best })
                as i64
        };
        (0..outer * inner).map(place).collect()
    }
}

/// Numbers by size: zeros are alike, NaN is larger than every number.
pub(super) fn by_size(one: f32, two: f32) -> Ordering {
    one.partial_cmp(&two).unwrap_or_else(|| one.is_nan().cmp(&two.is_nan()))
}

impl Operator for ArgExtremum {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let axis = crate::ops::axis(self.axis, input.shape().len())?;
        let around = around(input.shape(), axis);
        let mut dims = input.shape().to_vec();
        match self.keeps_axis {
            true => dims[axis] = 1,
            false => drop(dims.remove(axis)),
        }
        if around.1 == 0 && around.0 * around.2 > 0 {
            return Err(OpError::new(format!("axis {axis} of {} has no elements", input.shape())));
        }
        let places = match input.data() {
            Data::Floats(values) => self.of(values, around, by_size),
            Data::Ints(values) => self.of(values, around, |one, two| one.cmp(&two)),
            Data::Bools(_) => return Err(OpError::new("expected numbers, found booleans")),
        };
        Ok(Array::ints(Shape::new(&dims), places).into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

fn with(site: &Site<'_>, largest: bool) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(ArgExtremum {
        axis: site.int("axis", 0),
        keeps_axis: site.flag("keepdims", true),
        largest,
        last: site.flag("select_last_index", false),
    }))
}

pub(super) fn build_max(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, true)
}

pub(super) fn build_min(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn examples_of_the_specification() {
        let case = |name| {
            let x = Array::floats([2, 3], vec![2.0, 2.0, 1.0, 3.0, 10.0, 10.0]);
            Case::new(name).with("axis", 1).fixed(x)
        };
        case("ArgMax").gives_ints(&[2, 1], &[0, 1]);
        case("ArgMax").with("select_last_index", 1).gives_ints(&[2, 1], &[1, 2]);
        case("ArgMin").with("keepdims", 0).gives_ints(&[2], &[2, 0]);
        let ints = |axis: i64| {
            let x = Array::ints([2, 2], vec![1, 5, 3, 2]);
            Case::new("ArgMax").with("axis", axis).with("keepdims", 0).fixed(x)
        };
        ints(0).gives_ints(&[2], &[1, 0]);
        ints(2).is_refused("axis 2 is not one of");
        let empty = Case::new("ArgMin").fixed(Array::ints([0, 2], vec![]));
        empty.is_refused("axis 0 of [0,2] has no elements");
        let nan = Array::floats([3], vec![1.0, f32::NAN, 2.0]);
        Case::new("ArgMax").fixed(nan).gives_ints(&[1], &[1]);
    }
}
