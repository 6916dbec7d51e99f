//! Neg, Abs and Sign, of floats and integers. The slope of Abs at 0 is 0, that of Sign is 0
//! everywhere.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Neg;

impl Function for Neg {
    const READS: Reads = Reads::NOTHING;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        -x
    }

    #[inline(always)]
    fn slope(&self, _kept: f32) -> f32 {
        -1.0
    }

    fn integer(&self, x: i64) -> Option<i64> {
        x.checked_neg()
    }
}

#[derive(Clone, Copy, Debug)]
struct Abs;

impl Function for Abs {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.abs()
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        sign(x)
    }

    fn integer(&self, x: i64) -> Option<i64> {
        x.checked_abs()
    }
}

#[derive(Clone, Copy, Debug)]
struct Sign;

impl Function for Sign {
    const READS: Reads = Reads::NOTHING;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        sign(x)
    }

    #[inline(always)]
    fn slope(&self, _kept: f32) -> f32 {
        0.0
    }

    fn integer(&self, x: i64) -> Option<i64> {
        Some(x.signum())
    }
}

/// -1, 0 or 1; NaN stays NaN.
#[inline(always)]
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

pub(super) fn build_neg(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Neg)))
}

pub(super) fn build_abs(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Abs)))
}

pub(super) fn build_sign(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Sign)))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            len in 0usize..9,
            name in prop_oneof![Just("Neg"), Just("Abs"), Just("Sign")],
        ) {
            Case::new(name).trained(&[len], numbers(seed, len)).check();
        }
    }

    #[test]
    fn values_of_floats_and_integers() {
        let check = |name, floats: [f32; 3], ints: [i64; 3]| {
            Case::new(name).trained(&[3], vec![-1.5, 0.0, 2.0]).gives(&[3], &floats);
            Case::new(name).fixed(Array::ints([3], vec![-2, 0, 3])).gives_ints(&[3], &ints);
            let bools = Array::bools([1], vec![true]);
            Case::new(name).fixed(bools).is_refused("found booleans");
        };
        check("Neg", [1.5, 0.0, -2.0], [2, 0, -3]);
        check("Abs", [1.5, 0.0, 2.0], [2, 0, 3]);
        check("Sign", [-1.0, 0.0, 1.0], [-1, 0, 1]);
    }
}
