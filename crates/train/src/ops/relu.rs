//! Relu: `max(x, 0)`. The slope at 0 is taken as 0, as PyTorch and TensorFlow do.

use crate::error::OpError;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Relu;

impl Function for Relu {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        // Not `max`, which would turn NaN into 0.
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { 0.0 }
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Relu)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gradient(seed in any::<u64>()) {
            Case::new("Relu").trained(&[3, 5], numbers(seed, 15)).check();
        }
    }
}
