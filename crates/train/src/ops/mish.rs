//! Mish: `x tanh(ln(1 + e^x))` (Misra: Mish, 2019).

use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Operator, Reads};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Mish;

/// Past this, `tanh(ln(1 + e^x))` is 1 in floats; before, `e^2x` does not overflow.
const FLAT: f32 = 20.0;

/// `tanh(ln(1 + e))` where `e` is `e^x`: with n = e^2 + 2 e it is n / (n + 2).
#[inline(always)]
fn gate(power: f32) -> f32 {
    let n = power * (power + 2.0);
    n / (n + 2.0)
}

/// The slope where `power` is `e^x`.
#[inline(always)]
fn slope(x: f32, power: f32) -> f32 {
    let gate = gate(power);
    gate + x * (1.0 - gate * gate) * power / (1.0 + power)
}

impl Function for Mish {
    const READS: Reads = Reads::INPUTS;

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * gate(x.min(FLAT).exp())
    }

    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        slope(x, x.min(FLAT).exp())
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        out.fill(1.0);
        let power = rten_vecmath::Exp {};
        vector::chain_by(out, input, (power, |x: f32| x.min(FLAT)), |x, power| x * gate(power));
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        let power = rten_vecmath::Exp {};
        vector::chain_by(gradient, kept, (power, |x: f32| x.min(FLAT)), slope);
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Unary(Mish)))
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
            let x = numbers(seed, len).iter().map(|x| 3.0 * x).collect();
            Case::new("Mish").trained(&[len], x).check();
        }
    }

    #[test]
    fn values_of_floats_alone() {
        let expected = [-0.303_401_47, 0.0, 0.865_098_4, 90.0];
        Case::new("Mish").trained(&[4], vec![-1.0, 0.0, 1.0, 90.0]).gives(&[4], &expected);
        Case::new("Mish").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
