//! GatherElements: for every index, the element in its own place but for one axis.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::picks::{Picks, index};
use crate::math::view;
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source};
use crate::site::Site;

#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

/// The element of an array of shape `from` that each index means: the index is the place along
/// `axis`, its own place in `indices` that along the others.
pub(super) fn elements(from: &Shape, axis: i64, indices: &Array) -> Result<Picks, OpError> {
    let axis = crate::ops::axis(axis, from.len())?;
    let shape = indices.shape();
    let fits = shape.len() == from.len()
        && (0..from.len()).all(|other| other == axis || shape[other] <= from[other]);
    if !fits {
        return Err(OpError::new(format!(
            "indices of shape {shape} do not fit {from} beside axis {axis}"
        )));
    }
    let strides = view::strides(from);
    // Where the place of each index begins, with the axis itself left out.
    let mut starts = vec![0usize];
    for (other, &size) in shape.iter().enumerate() {
        let stride = if other == axis { 0 } else { strides[other].unsigned_abs() };
        let next = |start: usize| (0..size).map(move |at| start + at * stride);
        starts = starts.into_iter().flat_map(next).collect();
    }
    let stride = strides[axis].unsigned_abs();
    let places = indices.as_ints()?.iter().zip(starts);
    let numbers = places.map(|(&number, start)| Ok(start + index(number, from[axis])? * stride));
    let numbers = numbers.collect::<Result<_, OpError>>()?;
    Ok(Picks { shape: shape.clone(), run: 1, starts: vec![0], numbers })
}

impl Movement for GatherElements {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        Ok(elements(from, self.axis, inputs.at(1)?)?.into())
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(GatherElements { axis: site.int("axis", 0) })))
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
            axis in -2i64..2,
            indices in prop::collection::vec(-2i64..2, 4),
        ) {
            Case::new("GatherElements")
                .with("axis", axis)
                .trained(&[2, 3], numbers(seed, 6))
                .fixed(Array::ints([2, 2], indices))
                .check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let case = |axis: i64, indices: Array| {
            let x = Array::ints([3, 3], vec![1, 2, 3, 4, 5, 6, 7, 8, 9]);
            Case::new("GatherElements").with("axis", axis).fixed(x).fixed(indices)
        };
        let indices = || Array::ints([2, 3], vec![1, 2, 0, 2, 0, 0]);
        case(0, indices()).gives_ints(&[2, 3], &[4, 8, 3, 7, 2, 3]);
        case(1, Array::ints([1, 2], vec![-1, 0])).gives_ints(&[1, 2], &[3, 1]);
        case(0, Array::ints([1, 2], vec![0, 3])).is_refused("index 3 is not one of an axis of 3");
        let wide = Array::ints([1, 4], vec![0; 4]);
        case(0, wide).is_refused("indices of shape [1,4] do not fit [3,3] beside axis 0");
    }
}
