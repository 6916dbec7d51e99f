//! Mod: the remainder of a division, with broadcasting.
//!
//! Of integers with the sign of the divisor, as Python's `%`; with `fmod`, and of floats always,
//! with the sign of the dividend, as C's `fmod`. The slope of floats is `1` by the dividend and
//! `-trunc(a / b)` by the divisor.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Mod {
    fmod: bool,
}

impl Function for Mod {
    const READS: [Reads; 2] = [Reads::NOTHING, Reads::INPUTS];

    #[inline(always)]
    fn value(&self, a: f32, b: f32) -> f32 {
        a % b
    }

    fn integer(&self, a: i64, b: i64) -> Option<i64> {
        let remainder = a.checked_rem(b)?;
        let other_sign = remainder != 0 && (remainder < 0) != (b < 0);
        Some(if !self.fmod && other_sign { remainder + b } else { remainder })
    }

    #[inline(always)]
    fn slope_a(&self, _a: f32, _b: f32) -> f32 {
        1.0
    }

    #[inline(always)]
    fn slope_b(&self, a: f32, b: f32) -> f32 {
        -(a / b).trunc()
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Binary(Mod { fmod: site.flag("fmod", false) })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::Case;

    fn ints(values: &[i64]) -> Array {
        Array::ints([values.len()], values.to_vec())
    }

    #[test]
    fn gradient() {
        Case::new("Mod")
            .with("fmod", 1)
            .trained(&[2, 2], vec![2.5, -2.5, 0.4, 5.2])
            .trained(&[2], vec![1.1, -0.7])
            .check();
    }

    #[test]
    fn the_sign_is_that_of_the_divisor_or_the_dividend() {
        let case = || Case::new("Mod").fixed(ints(&[-4, 7, 5, 4, -7, 8]));
        let divisors = || ints(&[2, -3, 8, -2, 3, 5]);
        case().fixed(divisors()).gives_ints(&[6], &[0, -2, 5, 0, 2, 3]);
        case().with("fmod", 1).fixed(divisors()).gives_ints(&[6], &[0, 1, 5, 0, -1, 3]);
        case().fixed(ints(&[0])).is_refused("divide by 0");
        let floats = Case::new("Mod").with("fmod", 1).trained(&[2], vec![-4.3, 7.2]);
        floats.trained(&[2], vec![2.1, -3.4]).gives(&[2], &[-0.1, 0.4]);
    }
}
