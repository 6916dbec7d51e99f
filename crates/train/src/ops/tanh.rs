//! Tanh: the hyperbolic tangent, with slope `1 - y^2`.

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Tanh;

impl Function for Tanh {
    const READS: Reads = Reads::OUTPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.tanh()
    }

    #[inline(always)]
    fn slope(&self, y: f32) -> f32 {
        1.0 - y * y
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Tanh {});
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Tanh)))
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
            Case::new("Tanh").trained(&[len], numbers(seed, len)).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        let expected = [-0.7615942, 0.0, 0.46211716, 1.0];
        Case::new("Tanh").trained(&[4], vec![-1.0, 0.0, 0.5, 90.0]).gives(&[4], &expected);
        let ints = Array::ints([1], vec![4]);
        Case::new("Tanh").fixed(ints).is_refused("expected floats, found integers of shape [1]");
    }
}
