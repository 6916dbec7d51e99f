//! Min and Max of any number of arrays, with broadcasting.
//!
//! The gradient goes to the array whose element was chosen, where several tie to the first of
//! them. NaN wins over every number.

use crate::array::Array;
use crate::element::Element;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Extrema {
    largest: bool,
}

impl Extrema {
    /// Folds the inputs into one array, two at a time.
    fn fold<T: Element>(
        &self,
        scope: &mut Scope<'_>,
        inputs: Inputs<'_>,
        choose: impl Fn(T, T) -> T,
    ) -> Result<Array, OpError> {
        let mut chosen = inputs.at(0)?.clone();
        for number in 1..inputs.len() {
            let other = inputs.at(number)?;
            let shape = broadcast::shape(chosen.shape(), other.shape())?;
            let mut out = T::buffer(scope.buffers, scope.elements(&shape)?);
            let walk = Walk::new(&shape, chosen.shape(), other.shape());
            broadcast::apply(&mut out, &walk, (T::of(&chosen)?, T::of(other)?), &choose);
            scope.buffers.recycle(std::mem::replace(&mut chosen, T::array(shape, out)));
        }
        Ok(chosen)
    }
}

impl Operator for Extrema {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let largest = self.largest;
        let out = match inputs.at(0)?.data() {
            crate::Data::Ints(_) => {
                self.fold(scope, inputs, |a: i64, b| if largest { a.max(b) } else { a.min(b) })
            }
            _ => {
                // No comparison holds for NaN, so it stays where it is first.
                let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
                let smaller = |a: f32, b: f32| if b < a || b.is_nan() { b } else { a };
                if largest {
                    self.fold(scope, inputs, larger)
                } else {
                    self.fold(scope, inputs, smaller)
                }
            }
        };
        let out = out?;
        if let crate::Data::Bools(_) = out.data() {
            return Err(OpError::new("expected numbers, found booleans"));
        }
        Ok(out.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::INPUTS.and(Reads::OUTPUTS)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        // What is still to be given away.
        let mut rest = at.gradient()?;
        let shape = rest.shape().clone();
        let chosen = at.outputs.floats(0)?;
        let mut gradients = Gradients::new();
        for number in 0..at.inputs.len() {
            let input = at.inputs.at(number)?;
            let values = input.as_floats()?;
            let mut taken = scope.buffers.take(chosen.len());
            let rest = rest.floats_mut()?;
            taken.copy_from_slice(rest);
            let walk = Walk::new(&shape, &shape, input.shape());
            let both = (chosen, values);
            broadcast::update(
                &mut taken,
                &walk,
                both,
                #[inline(always)]
                |taken, chosen, value| *taken = if chosen == value { *taken } else { 0.0 },
            );
            broadcast::update(
                rest,
                &walk,
                both,
                #[inline(always)]
                |rest, chosen, value| *rest = if chosen == value { 0.0 } else { *rest },
            );
            let to = input.shape().clone();
            let taken = broadcast::sum_to(scope.buffers, taken, &shape, &to);
            gradients.push(at.wants(number).then(|| Array::floats(to, taken)));
        }
        Ok(gradients)
    }
}

pub(super) fn build_min(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Extrema { largest: false }))
}

pub(super) fn build_max(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Extrema { largest: true }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, broadcasting, count, distinct};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient((a, b) in broadcasting(), seed in any::<u64>(), largest in any::<bool>()) {
            let mut values = distinct(seed, count(&a) + count(&b) + 1);
            let case = Case::new(if largest { "Max" } else { "Min" });
            let first = values.split_off(count(&b) + 1);
            let second = values.split_off(1);
            case.trained(&a, first).trained(&b, second).trained(&[1], values).check();
        }
    }

    #[test]
    fn the_first_of_equals_takes_the_gradient() {
        let case = Case::new("Max").trained(&[2], vec![1.0, 2.0]).trained(&[2], vec![1.0, 3.0]);
        let gradients = case.gradients(&case.program());
        let of = |number: usize| gradients[number].as_ref().unwrap().as_floats().unwrap().to_vec();
        assert_eq!((of(0)[1], of(1)[0]), (0.0, 0.0));
        assert_ne!((of(0)[0], of(1)[1]), (0.0, 0.0));
    }

    #[test]
    fn chooses_among_floats_and_integers() {
        let three = |name| {
            Case::new(name)
                .trained(&[2, 1], vec![1.0, 2.0])
                .trained(&[2], vec![0.0, 5.0])
                .trained(&[], vec![1.5])
        };
        three("Max").gives(&[2, 2], &[1.5, 5.0, 2.0, 5.0]);
        three("Min").gives(&[2, 2], &[0.0, 1.0, 0.0, 1.5]);
        let ints = |values: &[i64]| Array::ints([values.len()], values.to_vec());
        Case::new("Min").fixed(ints(&[3, 1])).fixed(ints(&[2])).gives_ints(&[2], &[2, 1]);
        let nan = Case::new("Max").trained(&[2], vec![f32::NAN, 1.0]).trained(&[1], vec![2.0]);
        assert!(nan.run()[0].as_floats().unwrap()[0].is_nan());
        Case::new("Max").fixed(ints(&[1])).trained(&[1], vec![1.0]).is_refused("expected integers");
    }
}
