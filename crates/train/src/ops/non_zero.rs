//! NonZero: where an array is not zero, one column a place. It has no gradient.

use crate::array::Array;
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Debug)]
struct NonZero;

impl Operator for NonZero {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let found: Vec<usize> = by_kind!(input, T => {
            let values = T::of(input)?.iter().enumerate();
            values.filter(|(_, value)| **value != T::default()).map(|(place, _)| place).collect()
        });
        let mut places = Vec::with_capacity(input.shape().len() * found.len());
        let mut stride = input.len();
        for &size in input.shape().iter() {
            stride = stride.checked_div(size).unwrap_or(0);
            places.extend(found.iter().map(|place| (place / stride % size) as i64));
        }
        Ok(Array::ints([input.shape().len(), found.len()], places).into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(NonZero))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::Case;

    #[test]
    fn places_in_row_major_order() {
        let bools = Array::bools([2, 2], vec![true, false, true, true]);
        Case::new("NonZero").fixed(bools).gives_ints(&[2, 3], &[0, 1, 1, 0, 0, 1]);
        let floats = Array::floats([3], vec![0.0, -0.5, 0.0]);
        Case::new("NonZero").fixed(floats).gives_ints(&[1, 1], &[1]);
        Case::new("NonZero").fixed(Array::ints([2, 0], vec![])).gives_ints(&[2, 0], &[]);
        Case::new("NonZero").without().is_refused("input 0 is missing");
    }
}
