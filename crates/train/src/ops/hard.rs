//! HardSigmoid and HardSwish: a sigmoid of three lines, and `x` times it.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

/// `alpha x + beta`, kept between 0 and 1.
#[derive(Clone, Copy, Debug)]
struct HardSigmoid {
    alpha: f32,
    beta: f32,
}

/// `x` times the [`HardSigmoid`].
#[derive(Clone, Copy, Debug)]
struct HardSwish(HardSigmoid);

impl Function for HardSigmoid {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        (self.alpha * x + self.beta).clamp(0.0, 1.0)
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        if y > 0.0 && y < 1.0 { self.alpha } else { 0.0 }
    }
}

impl Function for HardSwish {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * self.0.value(x)
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        let gate = self.0.value(x);
        gate + x * self.0.slope(gate)
    }
}

pub(super) fn build_sigmoid(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let (alpha, beta) = (site.float("alpha", 0.2), site.float("beta", 0.5));
    Ok(Box::new(Unary(HardSigmoid { alpha, beta })))
}

pub(super) fn build_swish(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(HardSwish(HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }))))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), len in 0usize..9) {
            let near = numbers(seed, len);
            let x: Vec<f32> = near.iter().map(|x| if x.abs() < 0.5 { *x } else { 9.0 * x }).collect();
            Case::new("HardSigmoid").with("alpha", 0.25).trained(&[len], x.clone()).check();
            Case::new("HardSwish").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_the_specification() {
        let x = || vec![-1.0, 0.0, 1.0, 9.0];
        let sigmoid = Case::new("HardSigmoid").with("alpha", 0.5).with("beta", 0.6);
        sigmoid.trained(&[4], x()).gives(&[4], &[0.1, 0.6, 1.0, 1.0]);
        Case::new("HardSwish").trained(&[4], x()).gives(&[4], &[-1.0 / 3.0, 0.0, 2.0 / 3.0, 9.0]);
        Case::new("HardSwish").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
