//! Clip: numbers kept between two bounds, either of which may be left out. Before opset 11 the
//! bounds are attributes.
//!
//! Where a bound is hit no gradient passes; at the bound itself it does, as in PyTorch.

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Debug)]
struct Clip {
    /// Those of the attributes.
    lowest: f32,
    highest: f32,
}

#[derive(Clone, Copy, Debug)]
struct Between {
    lowest: f32,
    highest: f32,
}

impl Function for Between {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        // Not `clamp`, which panics where the bounds are in the wrong order: the upper one wins.
        let x = if x < self.lowest { self.lowest } else { x };
        if x > self.highest { self.highest } else { x }
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        if x >= self.lowest && x <= self.highest { 1.0 } else { 0.0 }
    }
}

/// The only element of a bound.
fn single<'a, T>(bound: &Array, values: &'a [T]) -> Result<&'a T, OpError> {
    match values {
        [value] => Ok(value),
        _ => Err(OpError::new(format!("expected one number as bound, found {}", bound.shape()))),
    }
}

impl Clip {
    fn between(&self, inputs: Inputs<'_>) -> Result<Between, OpError> {
        let bound = |number, otherwise: f32| match inputs.get(number) {
            Some(bound) => single(bound, bound.as_floats()?).copied(),
            None => Ok(otherwise),
        };
        Ok(Between { lowest: bound(1, self.lowest)?, highest: bound(2, self.highest)? })
    }
}

impl Operator for Clip {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let Data::Ints(values) = input.data() else {
            return Ok(Unary(self.between(inputs)?).of(scope, input)?.into());
        };
        let bound = |number| {
            let bound: Option<&Array> = inputs.get(number);
            bound.map(|bound| single(bound, bound.as_ints()?)).transpose()
        };
        let (lowest, highest) = (bound(1)?, bound(2)?);
        let clip = |&value: &i64| {
            let value = lowest.map_or(value, |&lowest| value.max(lowest));
            highest.map_or(value, |&highest| value.min(highest))
        };
        Ok(Array::ints(input.shape().clone(), values.iter().map(clip).collect()).into())
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        if at.wants(1) || at.wants(2) {
            return Err(OpError::new("training does not cover gradients of the bounds"));
        }
        let gradient = at.gradient()?;
        let between = Unary(self.between(at.inputs)?);
        Ok(vec![Some(between.back(scope, gradient, at.inputs.floats(0)?)?)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Clip {
        lowest: site.float("min", f32::NEG_INFINITY),
        highest: site.float("max", f32::INFINITY),
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>()) {
            // None within a step of a bound.
            let x = || numbers(seed, 6).iter().map(|x| x + 0.5 * x.signum()).collect();
            Case::new("Clip").opset(6).with("min", -1.0).trained(&[6], vec![-2.0, -0.5, 0.5, 2.0, 3.0, 0.1]).check();
            let case = || Case::new("Clip").trained(&[6], x());
            case().fixed(Array::scalar(0.0)).check();
            case().without().fixed(Array::scalar(0.0)).check();
            case().check();
        }
    }

    #[test]
    fn bounds_are_inputs_or_attributes_and_may_be_left_out() {
        let case = || Case::new("Clip").trained(&[3], vec![-2.0, 0.0, 2.0]);
        let one = || Array::scalar(1.0);
        case().fixed(Array::scalar(-1.0)).fixed(one()).gives(&[3], &[-1.0, 0.0, 1.0]);
        case().without().fixed(one()).gives(&[3], &[-2.0, 0.0, 1.0]);
        // The wrong way round: the upper bound wins.
        case().fixed(Array::scalar(2.0)).fixed(one()).gives(&[3], &[1.0, 1.0, 1.0]);
        case().opset(6).with("max", 0.5).gives(&[3], &[-2.0, 0.0, 0.5]);
        let ints = || Case::new("Clip").fixed(Array::ints([3], vec![-2, 0, 2]));
        ints().fixed(Array::ints([], vec![-1])).gives_ints(&[3], &[-1, 0, 2]);
        ints().fixed(one()).is_refused("expected integers, found floats");
        case()
            .fixed(Array::floats([2], vec![0.0, 1.0]))
            .is_refused("one number as bound, found [2]");
    }
}
