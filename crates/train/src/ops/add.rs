//! Add: `a + b` with broadcasting.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Add;

impl Function for Add {
    const READS: [Reads; 2] = [Reads::NOTHING; 2];

    #[inline(always)]
    fn value(&self, a: f32, b: f32) -> f32 {
        a + b
    }

    fn integer(&self, a: i64, b: i64) -> Option<i64> {
        a.checked_add(b)
    }

    #[inline(always)]
    fn slope_a(&self, _a: f32, _b: f32) -> f32 {
        1.0
    }

    #[inline(always)]
    fn slope_b(&self, _a: f32, _b: f32) -> f32 {
        1.0
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Binary(Add)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gradient(seed in any::<u64>(), rows in 1usize..4) {
            let a = numbers(seed, rows * 3);
            Case::new("Add").trained(&[rows, 3], a.clone()).trained(&[3], numbers(!seed, 3)).check();
            Case::new("Add").trained(&[rows, 1], numbers(!seed, rows)).trained(&[rows, 3], a).check();
        }
    }
}
