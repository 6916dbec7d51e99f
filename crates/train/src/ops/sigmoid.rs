//! Sigmoid: `1 / (1 + e^-x)`, with slope `y (1 - y)`.

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Sigmoid;

impl Function for Sigmoid {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        1.0 / (1.0 + (-x).exp())
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        y * (1.0 - y)
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Sigmoid {});
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Sigmoid)))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), len in 0usize..20) {
            Case::new("Sigmoid").trained(&[len], numbers(seed, len)).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        let expected = [0.26894143, 0.5, 0.7310586, 1.0];
        Case::new("Sigmoid").trained(&[4], vec![-1.0, 0.0, 1.0, 90.0]).gives(&[4], &expected);
        let ints = Array::ints([1], vec![4]);
        Case::new("Sigmoid").fixed(ints).is_refused("expected floats, found integers of shape [1]");
    }
}
