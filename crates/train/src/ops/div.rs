//! Div: `a / b` with broadcasting. Integers are cut towards zero.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Div;

impl Function for Div {
    const READS: [Reads; 2] = [Reads::NOTHING.and_input(1), Reads::INPUTS];

    #[inline(always)]
    fn value(&self, a: f32, b: f32) -> f32 {
        a / b
    }

    fn integer(&self, a: i64, b: i64) -> Option<i64> {
        a.checked_div(b)
    }

    #[inline(always)]
    fn slope_a(&self, _a: f32, b: f32) -> f32 {
        1.0 / b
    }

    #[inline(always)]
    fn slope_b(&self, a: f32, b: f32) -> f32 {
        -a / (b * b)
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Binary(Div)))
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
            let divisors: Vec<f32> =
                numbers(!seed, count(&b)).iter().map(|value| value + value.signum()).collect();
            Case::new("Div").trained(&a, numbers(seed, count(&a))).trained(&b, divisors).check();
        }
    }

    #[test]
    fn integers_are_cut_towards_zero() {
        Case::new("Div")
            .trained(&[2], vec![1.0, -3.0])
            .trained(&[1], vec![2.0])
            .gives(&[2], &[0.5, -1.5]);
        let by = |divisor| {
            let ints = |values: Vec<i64>| Array::ints([values.len()], values);
            Case::new("Div").fixed(ints(vec![7, -7])).fixed(ints(vec![divisor]))
        };
        by(2).gives_ints(&[2], &[3, -3]);
        by(0).is_refused("divide by 0");
    }
}
