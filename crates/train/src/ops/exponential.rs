//! Exp and Log: `e^x`, whose slope is the output, and the natural logarithm.

use crate::error::OpError;
use crate::math::{logarithm, vector};
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Exp;

impl Function for Exp {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.exp()
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        y
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Exp {});
    }
}

#[derive(Clone, Copy, Debug)]
struct Log;

impl Function for Log {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        logarithm::ln(x)
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        1.0 / x
    }
}

pub(super) fn build_exp(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Exp)))
}

pub(super) fn build_log(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Log)))
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
            Case::new("Log").trained(&[len, 1], positive).check();
            Case::new("Exp").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        let e = std::f32::consts::E;
        Case::new("Exp").trained(&[3], vec![-1.0, 0.0, 1.0]).gives(&[3], &[1.0 / e, 1.0, e]);
        Case::new("Log").trained(&[2], vec![1.0, e]).gives(&[2], &[0.0, 1.0]);
        Case::new("Log").fixed(Array::bools([1], vec![true])).is_refused("found booleans");
    }

    #[test]
    fn more_than_one_thread_takes_at_a_time() {
        let x: Vec<f32> = (0..100_000).map(|number| number as f32 * 1e-5).collect();
        let expected: Vec<f32> = x.iter().map(|x| x.exp()).collect();
        Case::new("Exp").trained(&[1000, 100], x).gives(&[1000, 100], &expected);
    }
}
