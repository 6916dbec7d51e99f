//! Mul: `a b` with broadcasting.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Mul;

impl Function for Mul {
    const READS: [Reads; 2] = [Reads::NOTHING.and_input(1), Reads::NOTHING.and_input(0)];

    #[inline(always)]
    fn value(&self, a: f32, b: f32) -> f32 {
        a * b
    }

    fn integer(&self, a: i64, b: i64) -> Option<i64> {
        a.checked_mul(b)
    }

    #[inline(always)]
    fn slope_a(&self, _a: f32, b: f32) -> f32 {
        b
    }

    #[inline(always)]
    fn slope_b(&self, a: f32, _b: f32) -> f32 {
        a
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Binary(Mul)))
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
            let first = numbers(seed, count(&a));
            let second = numbers(!seed, count(&b));
            let fixed = |dims: &[usize], values: &[f32]| {
                Array::floats(modelyard_tensor::Shape::new(dims), values.to_vec())
            };
            Case::new("Mul").trained(&a, first.clone()).trained(&b, second.clone()).check();
            Case::new("Mul").trained(&a, first.clone()).fixed(fixed(&b, &second)).check();
            Case::new("Mul").fixed(fixed(&a, &first)).trained(&b, second).check();
        }
    }

    #[test]
    fn multiplies_floats_and_integers_of_one_kind() {
        let floats = || Case::new("Mul").trained(&[2, 1], vec![1.0, 2.0]);
        floats().trained(&[2], vec![0.5, 4.0]).gives(&[2, 2], &[0.5, 4.0, 1.0, 8.0]);
        let ints = |value| Array::ints([], vec![value]);
        Case::new("Mul").fixed(ints(3)).fixed(ints(5)).gives_ints(&[], &[15]);
        floats().trained(&[3], numbers(1, 3)).trained(&[1], numbers(1, 1)).run();
        floats().trained(&[3, 2], numbers(1, 6)).is_refused("[2,1] and [3,2] do not broadcast");
        Case::new("Mul").fixed(ints(i64::MAX)).fixed(ints(2)).is_refused("overflow");
    }
}
