//! Swish: `x sigmoid(alpha x)` (Ramachandran, Zoph, Le: Searching for Activation Functions, 2017);
//! QuickGelu of `com.microsoft` is the same with another default.

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Swish {
    alpha: f32,
}

/// The slope where `sigmoid` is that of `alpha x`.
#[inline(always)]
fn slope(alpha: f32, x: f32, sigmoid: f32) -> f32 {
    sigmoid + alpha * x * sigmoid * (1.0 - sigmoid)
}

impl Function for Swish {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x / (1.0 + (-self.alpha * x).exp())
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        slope(self.alpha, x, 1.0 / (1.0 + (-self.alpha * x).exp()))
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Swish { alpha: self.alpha });
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        let alpha = self.alpha;
        let sigmoid = rten_vecmath::Sigmoid {};
        vector::chain_by(gradient, kept, (sigmoid, |x| alpha * x), |x, sigmoid| {
            slope(alpha, x, sigmoid)
        });
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Swish { alpha: site.float("alpha", 1.0) })))
}

pub(super) fn build_quick_gelu(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Swish { alpha: site.float("alpha", 1.702) })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), len in 0usize..20, alpha in -2f32..2.0) {
            let x: Vec<f32> = numbers(seed, len).iter().map(|x| 3.0 * x).collect();
            Case::new("Swish").with("alpha", alpha).trained(&[len], x.clone()).check();
            Case::new("QuickGelu").domain("com.microsoft").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_the_specification() {
        let x = || vec![-1.0, 0.0, 2.0];
        Case::new("Swish").trained(&[3], x()).gives(&[3], &[-0.268_941_4, 0.0, 1.761_594_2]);
        let quick = Case::new("QuickGelu").domain("com.microsoft").trained(&[3], x());
        quick.gives(&[3], &[-0.154_195_13, 0.0, 1.935_656_8]);
        Case::new("Swish").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
