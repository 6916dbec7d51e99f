//! Gather: rows of an array along an axis, by their numbers. An embedding table is one.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::math::picks::{Picks, around, index};
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source};
use crate::site::Site;

#[derive(Debug)]
struct Gather {
    axis: i64,
}

impl Movement for Gather {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let indices = inputs.at(1)?;
        let axis = crate::ops::axis(self.axis, from.len())?;
        let (outer, size, inner) = around(from, axis);
        let numbers = indices.as_ints()?.iter().map(|&number| index(number, size));
        let numbers: Vec<usize> = numbers.collect::<Result<_, _>>()?;
        let starts = (0..outer).map(|block| block * size).collect();
        let shape = from[..axis].iter().chain(indices.shape().iter()).chain(&from[axis + 1..]);
        Ok(Picks { shape: shape.copied().collect(), run: inner, starts, numbers }.into())
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Gather { axis: site.int("axis", 0) })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            axis in -3i64..3,
            indices in prop::collection::vec(-2i64..2, 4),
        ) {
            for indices in [
                Array::ints([2, 2], indices.clone()),
                Array::ints([], vec![indices[0]]),
                Array::ints([0], vec![]),
            ] {
                Case::new("Gather")
                    .with("axis", axis)
                    .trained(&[2, 3, 2], numbers(seed, 12))
                    .fixed(indices)
                    .check();
            }
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let case = |axis: i64, indices: Array| {
            let x = Array::ints([3, 2], vec![10, 12, 23, 34, 45, 57]);
            Case::new("Gather").with("axis", axis).fixed(x).fixed(indices)
        };
        let indices = Array::ints([2, 2], vec![0, 1, 1, 2]);
        case(0, indices).gives_ints(&[2, 2, 2], &[10, 12, 23, 34, 23, 34, 45, 57]);
        case(1, Array::ints([], vec![-1])).gives_ints(&[3], &[12, 34, 57]);
        case(0, Array::ints([1], vec![3]))
            .is_refused("index 3 is not one of an axis of 3 elements");
        case(0, Array::scalar(1.0)).is_refused("expected integers, found floats");
    }
}
