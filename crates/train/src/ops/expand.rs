//! Expand: an array broadcast with a shape.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::math::broadcast;
use crate::math::view::{Axis, View};
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source};
use crate::site::Site;

#[derive(Debug)]
struct Expand;

/// Sizes that a model computes.
pub(super) fn sizes(values: &[i64]) -> Result<Vec<usize>, OpError> {
    let sizes = values.iter().map(|&size| usize::try_from(size));
    sizes.collect::<Result<_, _>>().map_err(|_| OpError::new(format!("{values:?} is no shape")))
}

impl Movement for Expand {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let shape = broadcast::shape(from, &sizes(inputs.at(1)?.as_ints()?)?)?;
        let strides = broadcast::strides(from, shape.len());
        let axes: Vec<Axis> = shape
            .iter()
            .zip(strides)
            .map(|(&size, stride)| Axis { size, stride: stride as isize })
            .collect();
        Ok(View::new(shape, 0, axes).into())
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Expand)))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, broadcasting, count, numbers};
    use proptest::prelude::*;

    fn shape(dims: &[i64]) -> Array {
        Array::ints([dims.len()], dims.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient((a, b) in broadcasting(), seed in any::<u64>()) {
            let dims: Vec<i64> = b.iter().map(|&size| size as i64).collect();
            let case = Case::new("Expand").trained(&a, numbers(seed, count(&a)));
            case.fixed(shape(&dims)).check();
        }
    }

    #[test]
    fn broadcasts_both_ways() {
        let case = || Case::new("Expand").fixed(Array::ints([3, 1], vec![1, 2, 3]));
        case().fixed(shape(&[2])).gives_ints(&[3, 2], &[1, 1, 2, 2, 3, 3]);
        case().fixed(shape(&[2, 1, 1])).gives_ints(&[2, 3, 1], &[1, 2, 3, 1, 2, 3]);
        case().fixed(shape(&[0])).gives_ints(&[3, 0], &[]);
        case().fixed(shape(&[2, 2])).is_refused("shapes [3,1] and [2,2] do not broadcast");
        case().fixed(shape(&[-1])).is_refused("[-1] is no shape");
        case().fixed(shape(&[i64::MAX])).is_refused("outgrows the limit");
    }
}
