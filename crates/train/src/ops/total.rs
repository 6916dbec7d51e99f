//! Sum and Mean of any number of arrays, with broadcasting.

use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Total {
    /// Divides by the number of arrays.
    mean: bool,
}

impl Total {
    fn factor(&self, arrays: usize) -> f32 {
        if self.mean { 1.0 / arrays as f32 } else { 1.0 }
    }
}

impl Operator for Total {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let mut shape = inputs.at(0)?.shape().clone();
        for number in 1..inputs.len() {
            shape = broadcast::shape(&shape, inputs.at(number)?.shape())?;
        }
        let len = scope.elements(&shape)?;
        let mut sum = scope.buffers.zeros(len);
        for number in 0..inputs.len() {
            let input = inputs.at(number)?;
            let values = input.as_floats()?;
            let walk = Walk::new(&shape, input.shape(), &[]);
            broadcast::update(
                &mut sum,
                &walk,
                (values, &[0.0]),
                #[inline(always)]
                |sum, value, _: f32| *sum += value,
            );
        }
        if self.mean {
            vector::scale(&mut sum, self.factor(inputs.len()));
        }
        Ok(Array::floats(shape, sum).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let shape = gradient.shape().clone();
        if self.mean {
            vector::scale(gradient.floats_mut()?, self.factor(at.wanted.len()));
        }
        let mut gradients = Gradients::new();
        for (number, &wanted) in at.wanted.iter().enumerate() {
            let to = at.shape(number)?.clone();
            gradients.push(match wanted {
                true if to == shape => Some(gradient.clone()),
                true => {
                    let values = gradient.clone().into_floats()?;
                    let values = broadcast::sum_to(scope.buffers, values, &shape, &to);
                    Some(Array::floats(to, values))
                }
                false => None,
            });
        }
        Ok(gradients)
    }
}

pub(super) fn build_sum(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Total { mean: false }))
}

pub(super) fn build_mean(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Total { mean: true }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, broadcasting, count, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient((a, b) in broadcasting(), seed in any::<u64>(), mean in any::<bool>()) {
            let case = || Case::new(if mean { "Mean" } else { "Sum" });
            let (first, second) = (numbers(seed, count(&a)), numbers(!seed, count(&b)));
            case().trained(&a, first.clone()).check();
            case().trained(&a, first).trained(&b, second).trained(&[], vec![0.5]).check();
        }
    }

    #[test]
    fn any_number_of_arrays_broadcasts() {
        let three = |name| {
            Case::new(name)
                .trained(&[2, 1], vec![1.0, 2.0])
                .trained(&[2], vec![10.0, 20.0])
                .trained(&[], vec![1.0])
        };
        three("Sum").gives(&[2, 2], &[12.0, 22.0, 13.0, 23.0]);
        three("Mean").gives(&[2, 2], &[4.0, 22.0 / 3.0, 13.0 / 3.0, 23.0 / 3.0]);
        three("Sum").trained(&[3], numbers(1, 3)).is_refused("do not broadcast");
        Case::new("Sum").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
