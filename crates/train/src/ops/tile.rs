//! Tile: an array repeated along its axes.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::math::view::{Axis, View};
use crate::operator::{Inputs, Operator};
use crate::ops::expand::sizes;
use crate::ops::movement::{Moved, Movement, Source, axes};
use crate::site::Site;

#[derive(Debug)]
struct Tile;

impl Movement for Tile {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let repeats = sizes(inputs.at(1)?.as_ints()?)?;
        if repeats.len() != from.len() {
            return Err(OpError::new(format!(
                "expected one number of repeats for each axis of {from}, found {}",
                repeats.len()
            )));
        }
        let shape: Option<Shape> = from
            .iter()
            .zip(&repeats)
            .map(|(&size, &repeats)| size.checked_mul(repeats))
            .collect::<Option<_>>();
        let shape = shape.ok_or_else(|| {
            OpError::new(format!("{from} repeated {repeats:?} times outgrows the limit"))
        })?;
        // Each axis is two: which repeat, and where in it.
        let axes: Vec<Axis> = repeats
            .iter()
            .zip(axes(from))
            .flat_map(|(&size, axis)| [Axis { size, stride: 0 }, axis])
            .collect();
        Ok(View::new(shape, 0, axes).into())
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Tile)))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), repeats in prop::collection::vec(0i64..4, 3)) {
            let case = Case::new("Tile").trained(&[2, 1, 3], numbers(seed, 6));
            case.fixed(Array::ints([3], repeats)).check();
        }
    }

    #[test]
    fn repeats_along_every_axis() {
        let case = |repeats: Vec<i64>| {
            let case = Case::new("Tile").fixed(Array::ints([2, 2], vec![0, 1, 2, 3]));
            case.fixed(Array::ints([repeats.len()], repeats))
        };
        let expected = [0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3];
        case(vec![2, 2]).gives_ints(&[4, 4], &expected);
        case(vec![2]).is_refused("for each axis of [2,2], found 1");
        case(vec![i64::MAX, 4]).is_refused("outgrows the limit");
        case(vec![1, i64::MAX]).is_refused("outgrows the limit");
    }
}
