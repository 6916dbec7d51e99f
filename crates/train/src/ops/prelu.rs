//! PRelu: `x` where it is not negative, `slope x` elsewhere; the slope broadcasts to the input.

use crate::error::OpError;
use crate::math::broadcast;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Leaky;

#[derive(Debug)]
struct PRelu(Binary<Leaky>);

impl Function for Leaky {
    const READS: [Reads; 2] = [Reads::INPUTS, Reads::NOTHING.and_input(0)];

    #[inline(always)]
    fn value(&self, x: f32, slope: f32) -> f32 {
        if x < 0.0 { slope * x } else { x }
    }

    fn integer(&self, x: i64, slope: i64) -> Option<i64> {
        if x < 0 { slope.checked_mul(x) } else { Some(x) }
    }

    #[inline(always)]
    fn slope_a(&self, x: f32, slope: f32) -> f32 {
        if x < 0.0 { slope } else { 1.0 }
    }

    #[inline(always)]
    fn slope_b(&self, x: f32, _slope: f32) -> f32 {
        if x < 0.0 { x } else { 0.0 }
    }
}

impl Operator for PRelu {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (x, slope) = (inputs.at(0)?.shape(), inputs.at(1)?.shape());
        if broadcast::shape(x, slope)? != *x {
            return Err(OpError::new(format!("slope of shape {slope} does not broadcast to {x}")));
        }
        self.0.forward(scope, inputs)
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        self.0.reads(wanted)
    }

    fn backward(&self, scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        self.0.backward(scope, at)
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(PRelu(Binary(Leaky))))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), slopes in prop_oneof![Just(1usize), Just(3)]) {
            let x = numbers(seed, 12);
            let slopes_shape = [slopes, 1];
            Case::new("PRelu")
                .trained(&[2, 3, 2], x)
                .trained(&slopes_shape, numbers(!seed, slopes))
                .check();
        }
    }

    #[test]
    fn negative_elements_are_scaled() {
        let case = || Case::new("PRelu").trained(&[2, 2], vec![-1.0, 2.0, -3.0, 0.0]);
        case().trained(&[2], vec![0.5, 9.0]).gives(&[2, 2], &[-0.5, 2.0, -1.5, 0.0]);
        case().trained(&[3, 2, 2], numbers(1, 12)).is_refused("slope of shape [3,2,2]");
    }
}
