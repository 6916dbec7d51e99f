//! Elu, Selu and Celu: lines for positive numbers, exponentials that level off for negative ones.

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

/// `line x` where x is positive, `curve (e^(x / width) - 1)` elsewhere.
#[derive(Clone, Copy, Debug)]
struct Exponential {
    line: f32,
    curve: f32,
    inverse_width: f32,
}

impl Function for Exponential {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        let power = (x * self.inverse_width).exp();
        if x > 0.0 { self.line * x } else { self.curve * (power - 1.0) }
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        match x > 0.0 {
            true => self.line,
            false => self.curve * self.inverse_width * (x * self.inverse_width).exp(),
        }
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        let Exponential { line, curve, inverse_width } = *self;
        out.fill(1.0);
        vector::chain_by(
            out,
            input,
            (
                rten_vecmath::Exp {},
                #[inline(always)]
                move |x: f32| x.min(0.0) * inverse_width,
            ),
            #[inline(always)]
            move |x, power| {
                // Both, so that the choice is no jump.
                let (line, curve) = (line * x, curve * (power - 1.0));
                if x > 0.0 { line } else { curve }
            },
        );
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        let Exponential { line, curve, inverse_width } = *self;
        let below = curve * inverse_width;
        vector::chain_by(
            gradient,
            kept,
            (
                rten_vecmath::Exp {},
                #[inline(always)]
                move |x: f32| x.min(0.0) * inverse_width,
            ),
            #[inline(always)]
            move |x, power| {
                let slope = below * power;
                if x > 0.0 { line } else { slope }
            },
        );
    }
}

/// `x`, or `alpha (e^x - 1)`.
pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let curve = site.float("alpha", 1.0);
    Ok(Box::new(Unary(Exponential { line: 1.0, curve, inverse_width: 1.0 })))
}

/// `gamma x`, or `gamma alpha (e^x - 1)`.
pub(super) fn build_selu(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let line = site.float("gamma", 1.050_701);
    let curve = line * site.float("alpha", 1.673_263_2);
    Ok(Box::new(Unary(Exponential { line, curve, inverse_width: 1.0 })))
}

/// `x`, or `alpha (e^(x / alpha) - 1)`.
pub(super) fn build_celu(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let curve = site.float("alpha", 1.0);
    if curve == 0.0 {
        return Err(OpError::new("attribute alpha is 0, expected another number"));
    }
    Ok(Box::new(Unary(Exponential { line: 1.0, curve, inverse_width: 1.0 / curve })))
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
            alpha in 0.5f32..2.0,
            name in prop_oneof![Just("Elu"), Just("Selu"), Just("Celu")],
        ) {
            Case::new(name).with("alpha", alpha).trained(&[2, 5], numbers(seed, 10)).check();
        }
    }

    #[test]
    fn values_of_the_specification() {
        let x = || vec![-1.0, 0.0, 1.0];
        let case = |name| Case::new(name).with("alpha", 2.0).trained(&[3], x());
        case("Elu").gives(&[3], &[-1.264_241_1, 0.0, 1.0]);
        case("Celu").gives(&[3], &[-0.786_938_7, 0.0, 1.0]);
        let selu = Case::new("Selu").with("alpha", 2.0).with("gamma", 3.0).trained(&[3], x());
        selu.gives(&[3], &[-3.792_723_4, 0.0, 3.0]);
        Case::new("Elu").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
