//! Pow: `a ^ b` with broadcasting. The exponents may be of another kind than the base; the result
//! is of the kind of the base.
//!
//! The slope by the exponent is `a^b ln a`, and 0 where the base is 0, as PyTorch has it.

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::binary::{Binary, Function};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
struct Power;

#[derive(Debug)]
struct Pow(Binary<Power>);

/// `a ^ b`; the exponents that models are full of need no logarithm.
#[inline(always)]
fn power(a: f32, b: f32) -> f32 {
    match b {
        0.0 => 1.0,
        1.0 => a,
        2.0 => a * a,
        3.0 => a * a * a,
        0.5 => a.sqrt(),
        -1.0 => 1.0 / a,
        -0.5 => 1.0 / a.sqrt(),
        _ => a.powf(b),
    }
}

impl Function for Power {
    const READS: [Reads; 2] = [Reads::INPUTS; 2];

    #[inline(always)]
    fn value(&self, a: f32, b: f32) -> f32 {
        power(a, b)
    }

    fn integer(&self, a: i64, b: i64) -> Option<i64> {
        match u32::try_from(b) {
            Ok(b) => a.checked_pow(b),
            // A negative power of an integer is a fraction, cut to 0 but for those of 1 and -1.
            Err(_) if b < 0 => match a {
                0 => None,
                1 => Some(1),
                -1 => Some(if b % 2 == 0 { 1 } else { -1 }),
                _ => Some(0),
            },
            Err(_) => None,
        }
    }

    #[inline(always)]
    fn slope_a(&self, a: f32, b: f32) -> f32 {
        if b == 0.0 { 0.0 } else { b * power(a, b - 1.0) }
    }

    #[inline(always)]
    fn slope_b(&self, a: f32, b: f32) -> f32 {
        if a == 0.0 && b >= 0.0 { 0.0 } else { power(a, b) * a.ln() }
    }
}

/// The exponents in the kind of the base.
fn exponents(base: &Array, exponents: &Array) -> Option<Array> {
    match (base.data(), exponents.data()) {
        (Data::Floats(_), Data::Ints(values)) => Some(Array::floats(
            exponents.shape().clone(),
            values.iter().map(|&value| value as f32).collect(),
        )),
        (Data::Ints(_), Data::Floats(values)) if values.iter().all(|b| b.fract() == 0.0) => {
            Some(Array::ints(
                exponents.shape().clone(),
                values.iter().map(|&value| value as i64).collect(),
            ))
        }
        _ => None,
    }
}

impl Operator for Pow {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let converted = exponents(inputs.at(0)?, inputs.at(1)?);
        let exponents = converted.as_ref().or(inputs.get(1));
        self.0.forward(scope, Inputs(&[inputs.get(0), exponents]))
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        self.0.reads(wanted)
    }

    fn backward(&self, scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        let converted = exponents(at.inputs.at(0)?, at.inputs.at(1)?);
        let inputs = [at.inputs.get(0), converted.as_ref().or(at.inputs.get(1))];
        // All anew, since what is converted lives no longer than this call.
        let at = Backward {
            inputs: Inputs(&inputs),
            input_shapes: at.input_shapes,
            outputs: at.outputs,
            output_shapes: at.output_shapes,
            saved: at.saved,
            gradients: at.gradients,
            wanted: at.wanted,
        };
        self.0.backward(scope, at)
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Pow(Binary(Power))))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, broadcasting, count, numbers};
    use proptest::prelude::*;

    fn positive(seed: u64, len: usize) -> Vec<f32> {
        numbers(seed, len).iter().map(|value| value.abs() + 0.3).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient((a, b) in broadcasting(), seed in any::<u64>()) {
            let exponents = numbers(!seed, count(&b));
            Case::new("Pow").trained(&a, positive(seed, count(&a))).trained(&b, exponents).check();
        }

        #[test]
        fn gradient_by_the_base_alone(
            seed in any::<u64>(),
            exponent in prop_oneof![Just(-1.0f32), Just(-0.5), Just(0.0), Just(0.5), Just(3.0)],
        ) {
            let case = || Case::new("Pow").tolerance(0.02).trained(&[5], positive(seed, 5));
            case().fixed(Array::scalar(exponent)).check();
            case().fixed(Array::ints([], vec![2])).check();
        }
    }

    #[test]
    fn the_result_is_of_the_kind_of_the_base() {
        let two = || Array::ints([], vec![2]);
        Case::new("Pow").trained(&[2], vec![-1.5, 2.0]).fixed(two()).gives(&[2], &[2.25, 4.0]);
        let ints = || Case::new("Pow").fixed(Array::ints([3], vec![1, -2, 3]));
        ints().fixed(two()).gives_ints(&[3], &[1, 4, 9]);
        ints().fixed(Array::scalar(3.0)).gives_ints(&[3], &[1, -8, 27]);
        ints().fixed(Array::scalar(0.5)).is_refused("found integers and floats");
        ints().fixed(Array::ints([], vec![99])).is_refused("overflow");
        Case::new("Pow").trained(&[2], vec![0.0, 0.0]).trained(&[2], vec![2.0, 0.0]).run();
    }
}
