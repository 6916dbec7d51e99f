//! LeakyRelu and ThresholdedRelu: lines that bend once.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

/// `x` where it is not negative, `alpha x` elsewhere.
#[derive(Clone, Copy, Debug)]
struct LeakyRelu {
    alpha: f32,
}

/// `x` where it is more than `alpha`, 0 elsewhere.
#[derive(Clone, Copy, Debug)]
struct ThresholdedRelu {
    alpha: f32,
}

impl Function for LeakyRelu {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x < 0.0 { self.alpha * x } else { x }
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        if x < 0.0 { self.alpha } else { 1.0 }
    }
}

impl Function for ThresholdedRelu {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x <= self.alpha { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        if x <= self.alpha { 0.0 } else { 1.0 }
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(LeakyRelu { alpha: site.float("alpha", 0.01) })))
}

pub(super) fn build_thresholded(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(ThresholdedRelu { alpha: site.float("alpha", 1.0) })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), alpha in -0.5f32..0.5) {
            let x = numbers(seed, 6);
            Case::new("LeakyRelu").with("alpha", alpha).trained(&[2, 3], x.clone()).check();
            // None near the threshold.
            let x = x.iter().map(|x| x + alpha).collect();
            Case::new("ThresholdedRelu").with("alpha", alpha).trained(&[6], x).check();
        }
    }

    #[test]
    fn values_of_the_specification() {
        let x = || vec![-1.0, 0.0, 3.0];
        Case::new("LeakyRelu").with("alpha", 0.1).trained(&[3], x()).gives(&[3], &[-0.1, 0.0, 3.0]);
        Case::new("LeakyRelu").trained(&[3], x()).gives(&[3], &[-0.01, 0.0, 3.0]);
        let thresholded = Case::new("ThresholdedRelu").with("alpha", 2.0);
        thresholded.trained(&[4], vec![-1.5, 2.0, 1.2, 2.2]).gives(&[4], &[0.0, 0.0, 0.0, 2.2]);
        Case::new("LeakyRelu").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
