//! Flatten: a matrix of the axes before one and those from it on. Copies nothing.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source, reshaped};
use crate::site::Site;

#[derive(Debug)]
struct Flatten {
    axis: i64,
}

impl Movement for Flatten {
    fn source(&self, from: &Shape, _inputs: Inputs<'_>) -> Result<Source, OpError> {
        // The axis may be one past the last.
        let rank = from.len();
        let axis = if usize::try_from(self.axis).is_ok_and(|axis| axis == rank) {
            rank
        } else {
            crate::ops::axis(self.axis, rank)?
        };
        let (rows, columns) = (from[..axis].iter().product(), from[axis..].iter().product());
        Ok(reshaped(Shape::from([rows, columns])))
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Flatten { axis: site.int("axis", 1) })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), axis in -3i64..=3) {
            Case::new("Flatten").with("axis", axis).trained(&[2, 1, 3], numbers(seed, 6)).check();
        }
    }

    #[test]
    fn shapes_of_the_specification() {
        let shape = |axis: i64| {
            let case = Case::new("Flatten").with("axis", axis);
            case.trained(&[2, 3, 2], numbers(1, 12)).run()[0].shape().dims().to_vec()
        };
        assert_eq!(shape(0), [1, 12]);
        assert_eq!(shape(2), [6, 2]);
        assert_eq!(shape(3), [12, 1]);
        assert_eq!(shape(-1), [6, 2]);
        Case::new("Flatten").fixed(Array::ints([2], vec![1, 2])).gives_ints(&[2, 1], &[1, 2]);
        let case = Case::new("Flatten").with("axis", 4).trained(&[2], numbers(1, 2));
        case.is_refused("axis 4 is not one of an array of 1 dimensions");
    }
}
