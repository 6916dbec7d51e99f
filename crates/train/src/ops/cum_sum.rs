//! CumSum: sums of all elements up to each along an axis, with or without it, from either end.
//! The gradient is the same sum from the other end.

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::math::picks::around;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct CumSum {
    exclusive: bool,
    reverse: bool,
}

fn axis(inputs: Inputs<'_>, rank: usize) -> Result<usize, OpError> {
    match inputs.at(1)?.as_ints()? {
        [axis] => crate::ops::axis(*axis, rank),
        found => Err(OpError::new(format!("expected one axis, found {}", found.len()))),
    }
}

impl CumSum {
    /// Writes the sums over `values`.
    fn accumulate<T: Copy + Default>(
        self,
        values: &mut [T],
        (outer, size, inner): (usize, usize, usize),
        add: impl Fn(T, T) -> T,
    ) {
        let block_len = size * inner;
        for block in 0..outer {
            let block = &mut values[block * block_len..(block + 1) * block_len];
            let mut sums = vec![T::default(); inner];
            for number in 0..size {
                let place = if self.reverse { size - 1 - number } else { number };
                let row = &mut block[place * inner..(place + 1) * inner];
                for (sum, value) in sums.iter_mut().zip(row) {
                    let with = add(*sum, *value);
                    *value = if self.exclusive { *sum } else { with };
                    *sum = with;
                }
            }
        }
    }
}

impl Operator for CumSum {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let shape = input.shape().clone();
        let around = around(&shape, axis(inputs, shape.len())?);
        if let Data::Ints(values) = input.data() {
            let mut out = values.to_vec();
            self.accumulate(&mut out, around, i64::wrapping_add);
            return Ok(Array::ints(shape, out).into());
        }
        let values = input.as_floats()?;
        let mut out = scope.buffers.take(values.len());
        out.copy_from_slice(values);
        self.accumulate(&mut out, around, |sum, value| sum + value);
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(1)
    }

    fn backward(&self, _scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let shape = gradient.shape().clone();
        let around = around(&shape, axis(at.inputs, shape.len())?);
        let back = CumSum { reverse: !self.reverse, ..*self };
        back.accumulate(gradient.floats_mut()?, around, |sum, value| sum + value);
        Ok(vec![Some(gradient)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let (exclusive, reverse) = (site.flag("exclusive", false), site.flag("reverse", false));
    Ok(Box::new(CumSum { exclusive, reverse }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(), axis in -3i64..3, exclusive in 0i64..2, reverse in 0i64..2,
        ) {
            let case = Case::new("CumSum").with("exclusive", exclusive).with("reverse", reverse);
            case.trained(&[2, 3, 2], numbers(seed, 12)).fixed(Array::ints([], vec![axis])).check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let case = |axis: i64| {
            let x = Array::ints([2, 3], vec![1, 2, 3, 4, 5, 6]);
            Case::new("CumSum").fixed(x).fixed(Array::ints([], vec![axis]))
        };
        case(0).gives_ints(&[2, 3], &[1, 2, 3, 5, 7, 9]);
        case(1).gives_ints(&[2, 3], &[1, 3, 6, 4, 9, 15]);
        case(-1).with("reverse", 1).gives_ints(&[2, 3], &[6, 5, 3, 15, 11, 6]);
        case(-1).with("exclusive", 1).gives_ints(&[2, 3], &[0, 1, 3, 0, 4, 9]);
        let both = case(-1).with("exclusive", 1).with("reverse", 1);
        both.gives_ints(&[2, 3], &[5, 3, 0, 11, 6, 0]);
        case(2).is_refused("axis 2 is not one of an array of 2 dimensions");
        let two = Case::new("CumSum").trained(&[1], vec![1.0]).fixed(Array::ints([2], vec![0, 0]));
        two.is_refused("expected one axis, found 2");
    }
}
