//! Gelu: `x P(x)`, where `P` is the distribution of the normal law (Hendrycks, Gimpel: Gaussian
//! Error Linear Units, 2016).
//!
//! Four spellings: `Gelu` of ONNX 20, exact or approximated by `tanh`; `Gelu`, `BiasGelu` (exact)
//! and `FastGelu` (`tanh`, the bias may be left out) of ONNX Runtime's `com.microsoft`. A bias is
//! a vector along the last axis, added before.

use rten_simd::SimdUnaryOp;

use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::unary::{Function, Unary};
use crate::site::Site;

/// `x / 2 (1 + erf(x / sqrt 2))`
#[derive(Clone, Copy, Debug)]
struct Exact;

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`
#[derive(Clone, Copy, Debug)]
struct Approximate;

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// The slope where `error` is `erf(x / sqrt 2)` and `bell` is `e^(-x^2 / 2)`.
#[inline(always)]
fn exact_slope(x: f32, error: f32, bell: f32) -> f32 {
    0.5 * (1.0 + error) + x * bell * (0.5 * SQRT_2_OVER_PI)
}

#[inline(always)]
fn inside(x: f32) -> f32 {
    SQRT_2_OVER_PI * (x + CUBIC * x * x * x)
}

/// The slope where `tanh` is that of [`inside`].
#[inline(always)]
fn approximate_slope(x: f32, tanh: f32) -> f32 {
    let inside_slope = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
    0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inside_slope
}

impl Function for Exact {
    const READS: Reads = Reads::NOTHING.and_input(0);

    fn value(&self, x: f32) -> f32 {
        rten_vecmath::Gelu {}.scalar_eval(x)
    }

    fn slope(&self, x: f32) -> f32 {
        let error = rten_vecmath::Erf {}.scalar_eval(x * std::f32::consts::FRAC_1_SQRT_2);
        exact_slope(x, error, (-0.5 * x * x).exp())
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::Gelu {});
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        let mut bells = [0f32; 256];
        for (gradient, kept) in gradient.chunks_mut(256).zip(kept.chunks(256)) {
            let bells = &mut bells[..kept.len()];
            vector::map(bells, kept, |x| -0.5 * x * x);
            rten_vecmath::Exp {}.map_mut(bells);
            let mut errors = [0f32; 256];
            let errors = &mut errors[..kept.len()];
            vector::map(errors, kept, |x| x * std::f32::consts::FRAC_1_SQRT_2);
            rten_vecmath::Erf {}.map_mut(errors);
            vector::vectorized(
                #[inline(always)]
                || {
                    let values = kept.iter().zip(errors.iter().zip(bells.iter()));
                    gradient.iter_mut().zip(values).for_each(|(gradient, (x, (error, bell)))| {
                        *gradient *= exact_slope(*x, *error, *bell);
                    });
                },
            );
        }
    }
}

impl Function for Approximate {
    const READS: Reads = Reads::NOTHING.and_input(0);

    fn value(&self, x: f32) -> f32 {
        0.5 * x * (1.0 + inside(x).tanh())
    }

    fn slope(&self, x: f32) -> f32 {
        approximate_slope(x, inside(x).tanh())
    }

    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map_by(out, input, rten_vecmath::ApproxGelu {});
    }

    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        vector::chain_by(gradient, kept, (rten_vecmath::Tanh {}, inside), approximate_slope);
    }
}

/// A function of the input and a bias along its last axis.
#[derive(Debug)]
struct Biased<F>(Unary<F>);

/// The sum of the input and the bias.
fn biased(scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Array, OpError> {
    let (input, bias) = (inputs.at(0)?, inputs.at(1)?);
    let shape = input.shape();
    if bias.shape().len() != 1 || bias.shape().last() != shape.last() {
        return Err(OpError::new(format!(
            "expected one bias for each element of the last axis of {shape}, found {}",
            bias.shape()
        )));
    }
    let mut sum = scope.buffers.take(input.len());
    let walk = Walk::new(shape, shape, bias.shape());
    broadcast::apply(&mut sum, &walk, (input.as_floats()?, bias.as_floats()?), |x, bias| x + bias);
    Ok(Array::floats(shape.clone(), sum))
}

impl<F: Function> Operator for Biased<F> {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let sum = biased(scope, inputs)?;
        let out = self.0.of(scope, &sum)?;
        scope.buffers.recycle(sum);
        Ok(out.into())
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let sum = biased(scope, at.inputs)?;
        let gradient = at.gradient()?;
        let gradient = self.0.back(scope, gradient, sum.as_floats()?)?;
        scope.buffers.recycle(sum);
        let by_bias = at.wants(1).then(|| -> Result<Array, OpError> {
            let (shape, to) = (gradient.shape(), at.shape(1)?.clone());
            let values = gradient.clone().into_floats()?;
            let values = broadcast::sum_to(scope.buffers, values, shape, &to);
            Ok(Array::floats(to, values))
        });
        let by_bias = by_bias.transpose()?;
        Ok(vec![Some(gradient), by_bias])
    }
}

/// Gelu of ONNX, and of `com.microsoft`, where it is exact.
pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    site.expect_text("approximate", &["none", "tanh"])?;
    match site.text("approximate", "none").as_str() {
        "tanh" => Ok(Box::new(Unary(Approximate))),
        _ => Ok(Box::new(Unary(Exact))),
    }
}

pub(super) fn build_biased(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Biased(Unary(Exact))))
}

pub(super) fn build_fast(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    match site.node.input(1) {
        Some(_) => Ok(Box::new(Biased(Unary(Approximate)))),
        None => Ok(Box::new(Unary(Approximate))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn wide(seed: u64, len: usize) -> Vec<f32> {
        numbers(seed, len).iter().map(|x| 3.0 * x).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), rows in 1usize..4) {
            for approximate in ["none", "tanh"] {
                let x = wide(seed, rows * 3);
                let case = Case::new("Gelu").with("approximate", approximate);
                case.trained(&[rows, 3], x).check();
            }
            for name in ["BiasGelu", "FastGelu"] {
                let case = || Case::new(name).domain("com.microsoft");
                let case = || case().trained(&[rows, 3], wide(seed, rows * 3));
                case().trained(&[3], numbers(!seed, 3)).check();
                case().fixed(Array::floats([3], numbers(!seed, 3))).check();
            }
        }

        #[test]
        fn slices_and_single_elements_agree(x in prop::collection::vec(-6f32..6.0, 0..600)) {
            fn agree(function: impl Function, x: &[f32]) {
                let (mut out, mut slopes) = (vec![0.0; x.len()], vec![1.0; x.len()]);
                function.values(&mut out, x);
                function.chain(&mut slopes, x);
                for (index, &x) in x.iter().enumerate() {
                    assert!((out[index] - function.value(x)).abs() < 1e-5);
                    assert!((slopes[index] - function.slope(x)).abs() < 1e-5);
                }
            }
            agree(Exact, &x);
            agree(Approximate, &x);
        }
    }

    #[test]
    fn values_of_both_kinds_with_and_without_bias() {
        let x = || vec![-1.0, 0.0, 2.0];
        let exact = [-0.158_655_26, 0.0, 1.954_499_7];
        let approximate = [-0.158_808_01, 0.0, 1.954_597_7];
        Case::new("Gelu").trained(&[3], x()).gives(&[3], &exact);
        let tanh = || Case::new("Gelu").with("approximate", "tanh");
        tanh().trained(&[3], x()).gives(&[3], &approximate);
        let microsoft = |name| Case::new(name).domain("com.microsoft");
        microsoft("Gelu").trained(&[3], x()).gives(&[3], &exact);
        microsoft("FastGelu").trained(&[3], x()).gives(&[3], &approximate);
        let shifted = |name| microsoft(name).trained(&[3], vec![-2.0, -1.0, 1.0]);
        shifted("BiasGelu").trained(&[3], vec![1.0; 3]).gives(&[3], &exact);
        shifted("FastGelu").trained(&[3], vec![1.0; 3]).gives(&[3], &approximate);
        shifted("BiasGelu").trained(&[2], vec![1.0; 2]).is_refused("found [2]");
        Case::new("Gelu").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }

    #[test]
    #[should_panic(expected = "attribute approximate is 'cubic', training covers none, tanh")]
    fn another_approximation_is_refused() {
        Case::new("Gelu").with("approximate", "cubic").trained(&[1], vec![1.0]).run();
    }
}
