//! Sub: `a - b` with broadcasting.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Sub;

impl Function for Sub {
    const READS: [Reads; 2] = [Reads::NOTHING; 2];

    #[inline(always)]
    fn value(&self, a: f32, b: f32) -> f32 {
        a - b
    }

    fn integer(&self, a: i64, b: i64) -> Option<i64> {
        a.checked_sub(b)
    }

    #[inline(always)]
    fn slope_a(&self, _a: f32, _b: f32) -> f32 {
        1.0
    }

    #[inline(always)]
    fn slope_b(&self, _a: f32, _b: f32) -> f32 {
        -1.0
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Binary(Sub)))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, broadcasting, count, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient((a, b) in broadcasting(), seed in any::<u64>()) {
            let values = numbers(!seed, count(&b));
            Case::new("Sub").trained(&a, numbers(seed, count(&a))).trained(&b, values).check();
        }
    }

    #[test]
    fn subtracts_floats_and_integers_of_one_kind() {
        let floats = || Case::new("Sub").trained(&[2, 1], vec![1.0, 2.0]);
        floats().trained(&[2], vec![0.5, 4.0]).gives(&[2, 2], &[0.5, -3.0, 1.5, -2.0]);
        let ints = |value| Array::ints([], vec![value]);
        Case::new("Sub").fixed(ints(3)).fixed(ints(5)).gives_ints(&[], &[-2]);
        floats().fixed(ints(1)).is_refused("found floats and integers");
        Case::new("Sub").fixed(ints(i64::MIN)).fixed(ints(1)).is_refused("overflow");
    }
}
