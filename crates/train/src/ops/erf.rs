//! Erf: the error function, with slope `2 / sqrt(pi) e^(-x^2)`.

use rten_simd::SimdUnaryOp;

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Erf;

impl Function for Erf {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        rten_vecmath::Erf {}.scalar_eval(x)
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        std::f32::consts::FRAC_2_SQRT_PI * (-x * x).exp()
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Erf {});
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        let squared = |x: f32| -x * x;
        vector::chain_by(gradient, kept, (rten_vecmath::Exp {}, squared), |_, bell| {
            std::f32::consts::FRAC_2_SQRT_PI * bell
        });
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Erf)))
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
            let x = numbers(seed, len).iter().map(|x| 2.0 * x).collect();
            Case::new("Erf").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        let expected = [-0.8427008, 0.0, 0.5204999, 1.0];
        Case::new("Erf").trained(&[4], vec![-1.0, 0.0, 0.5, 90.0]).gives(&[4], &expected);
        Case::new("Erf").fixed(Array::ints([1], vec![4])).is_refused("found integers");
    }
}
