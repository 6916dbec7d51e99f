//! Sqrt and Reciprocal: `x^(1/2)` and `x^-1`, whose slopes follow from the output.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Sqrt;

impl Function for Sqrt {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.sqrt()
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        0.5 / y
    }
}

#[derive(Clone, Copy, Debug)]
struct Reciprocal;

impl Function for Reciprocal {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        1.0 / x
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        -y * y
    }
}

pub(super) fn build_sqrt(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Sqrt)))
}

pub(super) fn build_reciprocal(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Reciprocal)))
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
            let x = numbers(seed, len);
            let positive = x.iter().map(|x| x.abs() + 0.3).collect();
            Case::new("Sqrt").trained(&[len, 1], positive).check();
            let far = x.iter().map(|x| x + 0.5 * x.signum()).collect();
            Case::new("Reciprocal").trained(&[len], far).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        Case::new("Sqrt").trained(&[3], vec![1.0, 4.0, 9.0]).gives(&[3], &[1.0, 2.0, 3.0]);
        Case::new("Reciprocal").trained(&[2], vec![-4.0, 2.0]).gives(&[2], &[-0.25, 0.5]);
        let ints = Array::ints([1], vec![4]);
        Case::new("Sqrt").fixed(ints).is_refused("expected floats, found integers of shape [1]");
    }
}
