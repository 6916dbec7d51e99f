//! Sin and Cos.

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Sin;

impl Function for Sin {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.sin()
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        x.cos()
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Sin::new());
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        vector::chain_by(gradient, kept, (rten_vecmath::Cos::new(), |x| x), |_, cosine| cosine);
    }
}

#[derive(Clone, Copy, Debug)]
struct Cos;

impl Function for Cos {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.cos()
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        -x.sin()
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Cos::new());
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        vector::chain_by(gradient, kept, (rten_vecmath::Sin::new(), |x| x), |_, sine| -sine);
    }
}

pub(super) fn build_sin(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Sin)))
}

pub(super) fn build_cos(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Cos)))
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
            let x: Vec<f32> = numbers(seed, len).iter().map(|x| 4.0 * x).collect();
            Case::new("Sin").trained(&[len], x.clone()).check();
            Case::new("Cos").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        let half = std::f32::consts::FRAC_PI_2;
        Case::new("Sin").trained(&[2], vec![half, -half]).gives(&[2], &[1.0, -1.0]);
        Case::new("Cos").trained(&[2], vec![half, 0.0]).gives(&[2], &[0.0, 1.0]);
        Case::new("Cos").fixed(Array::ints([1], vec![4])).is_refused("found integers");
    }
}
