//! Floor, Ceil and Round (halves to even): steps, whose slope is 0 wherever they have one.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Floor;

impl Function for Floor {
    const READS: Reads = Reads::NOTHING;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.floor()
    }

    #[inline(always)]
    fn slope(&self, _kept: f32) -> f32 {
        0.0
    }

    fn integer(&self, x: i64) -> Option<i64> {
        Some(x)
    }
}

#[derive(Clone, Copy, Debug)]
struct Ceil;

impl Function for Ceil {
    const READS: Reads = Reads::NOTHING;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.ceil()
    }

    #[inline(always)]
    fn slope(&self, _kept: f32) -> f32 {
        0.0
    }

    fn integer(&self, x: i64) -> Option<i64> {
        Some(x)
    }
}

#[derive(Clone, Copy, Debug)]
struct Round;

impl Function for Round {
    const READS: Reads = Reads::NOTHING;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.round_ties_even()
    }

    #[inline(always)]
    fn slope(&self, _kept: f32) -> f32 {
        0.0
    }

    fn integer(&self, x: i64) -> Option<i64> {
        Some(x)
    }
}

pub(super) fn build_floor(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Floor)))
}

pub(super) fn build_ceil(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Ceil)))
}

pub(super) fn build_round(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Round)))
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
            name in prop_oneof![Just("Floor"), Just("Ceil"), Just("Round")],
        ) {
            let x = numbers(seed, 4).iter().map(|x| x * 0.4).collect();
            Case::new(name).trained(&[4], x).check();
        }
    }

    #[test]
    fn halves_are_rounded_to_even() {
        let x = || vec![-1.5, -0.5, 0.5, 1.2, 2.5];
        Case::new("Round").trained(&[5], x()).gives(&[5], &[-2.0, 0.0, 0.0, 1.0, 2.0]);
        Case::new("Floor").trained(&[5], x()).gives(&[5], &[-2.0, -1.0, 0.0, 1.0, 2.0]);
        Case::new("Ceil").trained(&[5], x()).gives(&[5], &[-1.0, 0.0, 1.0, 2.0, 3.0]);
        Case::new("Ceil").fixed(Array::bools([1], vec![true])).is_refused("found booleans");
    }
}
