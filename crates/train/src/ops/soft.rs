//! Softplus and Softsign: smooth forms of Relu and of the sign.

use crate::error::OpError;
use crate::math::{logarithm, vector};
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

/// `ln(1 + e^x)`; its slope is the sigmoid.
#[derive(Clone, Copy, Debug)]
struct Softplus;

/// `x / (1 + |x|)`; its slope is `(1 - |y|)^2`.
#[derive(Clone, Copy, Debug)]
struct Softsign;

impl Function for Softplus {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        // e^x itself would overflow.
        x.max(0.0) + logarithm::ln_1p((-x.abs()).exp())
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        1.0 / (1.0 + (-x).exp())
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        out.fill(1.0);
        vector::chain_by(
            out,
            input,
            (
                rten_vecmath::Exp {},
                #[inline(always)]
                |x: f32| -x.abs(),
            ),
            #[inline(always)]
            |x, power| x.max(0.0) + logarithm::ln_1p(power),
        );
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        let sigmoid = rten_vecmath::Sigmoid {};
        vector::chain_by(gradient, kept, (sigmoid, |x| x), |_, sigmoid| sigmoid);
    }
}

impl Function for Softsign {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x / (1.0 + x.abs())
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        let rest = 1.0 - y.abs();
        rest * rest
    }
}

pub(super) fn build_softplus(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Softplus)))
}

pub(super) fn build_softsign(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Softsign)))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), len in 0usize..20) {
            let x: Vec<f32> = numbers(seed, len).iter().map(|x| 3.0 * x).collect();
            Case::new("Softplus").trained(&[len], x.clone()).check();
            Case::new("Softsign").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_the_specification() {
        let x = || vec![-1.0, 0.0, 90.0];
        let expected = [0.313_261_7, std::f32::consts::LN_2, 90.0];
        Case::new("Softplus").trained(&[3], x()).gives(&[3], &expected);
        Case::new("Softsign").trained(&[3], x()).gives(&[3], &[-0.5, 0.0, 90.0 / 91.0]);
        Case::new("Softplus").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
