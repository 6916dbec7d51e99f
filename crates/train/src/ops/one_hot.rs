//! OneHot: a new axis that holds one value where the index says and another elsewhere. Training
//! gives it no gradient.

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Debug)]
struct OneHot {
    axis: i64,
}

/// Whole numbers, which models also state as floats.
fn whole(array: &Array) -> Result<Vec<i64>, OpError> {
    match array.data() {
        Data::Floats(values) => Ok(values.iter().map(|&value| value as i64).collect()),
        _ => array.as_ints().map(<[i64]>::to_vec),
    }
}

impl OneHot {
    fn of<T: Element>(
        &self,
        scope: &mut Scope<'_>,
        (indices, depth): (&Array, usize),
        values: &Array,
    ) -> Result<Array, OpError> {
        let &[off, on] = T::of(values)? else {
            return Err(OpError::new(format!(
                "expected two values, off and on, found {}",
                values.len()
            )));
        };
        let axis = crate::ops::axis(self.axis, indices.shape().len() + 1)?;
        let mut dims = indices.shape().to_vec();
        dims.insert(axis, depth);
        let shape = Shape::new(&dims);
        let mut out = vec![off; scope.elements(&shape)?];
        let inner: usize = indices.shape()[axis..].iter().product();
        for (number, index) in whole(indices)?.into_iter().enumerate() {
            // An index outside the axis leaves it off everywhere.
            if let Ok(place) = crate::math::picks::index(index, depth) {
                out[(number / inner * depth + place) * inner + number % inner] = on;
            }
        }
        Ok(T::array(shape, out))
    }
}

impl Operator for OneHot {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let depth = match whole(inputs.at(1)?)?[..] {
            [depth] => usize::try_from(depth)
                .map_err(|_| OpError::new(format!("the depth is {depth}, expected at least 0")))?,
            ref found => {
                return Err(OpError::new(format!("expected one depth, found {}", found.len())));
            }
        };
        let values = inputs.at(2)?;
        let indices = (inputs.at(0)?, depth);
        Ok(by_kind!(values, T => self.of::<T>(scope, indices, values))?.into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(OneHot { axis: site.int("axis", -1) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn examples_of_the_specification() {
        let case = |axis: i64, values: Array| {
            Case::new("OneHot")
                .with("axis", axis)
                .fixed(Array::ints([3], vec![1, -1, 5]))
                .fixed(Array::ints([1], vec![3]))
                .fixed(values)
        };
        let floats = || Array::floats([2], vec![0.0, 2.0]);
        case(-1, floats()).gives(&[3, 3], &[0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
        case(0, floats()).gives(&[3, 3], &[0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        let ints = case(-1, Array::ints([2], vec![0, 1]));
        ints.gives_ints(&[3, 3], &[0, 1, 0, 0, 0, 1, 0, 0, 0]);
        case(0, Array::scalar(1.0)).is_refused("expected two values, off and on, found 1");
        case(2, floats()).is_refused("axis 2 is not one of an array of 2 dimensions");
        let deep = Case::new("OneHot").fixed(Array::ints([1], vec![0]));
        deep.fixed(Array::scalar(-1.0)).fixed(floats()).is_refused("the depth is -1");
    }
}
