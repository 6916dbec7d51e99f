//! Activation functions of one number, in double precision: for [`map`](super::elementwise::map).

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

pub(crate) fn relu(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// `relu` that ends at 6.
pub(crate) fn relu6(x: f64) -> f64 {
    relu(x).min(6.0)
}

/// `relu` with a slope below 0.
pub(crate) fn leaky_relu(x: f64, slope: f64) -> f64 {
    if x < 0.0 { x * slope } else { x }
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    // Neither side overflows.
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// `alpha * x + beta` within 0 and 1: Keras and ONNX take 0.2 and 0.5, Keras 3 and PyTorch 1/6.
pub(crate) fn hard_sigmoid(x: f64, alpha: f64, beta: f64) -> f64 {
    (alpha * x + beta).clamp(0.0, 1.0)
}

/// `x * relu6(x + 3) / 6`
pub(crate) fn hard_swish(x: f64) -> f64 {
    x * hard_sigmoid(x, 1.0 / 6.0, 0.5)
}

/// `x * sigmoid(x)`, also called swish.
pub(crate) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// `ln(1 + e^x)`
pub(crate) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

pub(crate) fn softsign(x: f64) -> f64 {
    x / (1.0 + x.abs())
}

/// `x * tanh(softplus(x))`
pub(crate) fn mish(x: f64) -> f64 {
    x * softplus(x).tanh()
}

/// `alpha * (e^x - 1)` below 0.
pub(crate) fn elu(x: f64, alpha: f64) -> f64 {
    if x < 0.0 { alpha * x.exp_m1() } else { x }
}

/// `alpha * (e^(x / alpha) - 1)` below 0.
pub(crate) fn celu(x: f64, alpha: f64) -> f64 {
    if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x }
}

/// The self-normalizing exponential unit with the constants of its paper (arXiv:1706.02515).
pub(crate) fn selu(x: f64) -> f64 {
    const ALPHA: f64 = 1.673_263_242_354_377_2;
    const SCALE: f64 = 1.050_700_987_355_480_5;
    SCALE * elu(x, ALPHA)
}

/// `x * Φ(x)` with the exact distribution function.
pub(crate) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// The approximation of [`gelu`] by a hyperbolic tangent.
pub(crate) fn gelu_tanh(x: f64) -> f64 {
    let inner = FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + inner.tanh())
}

/// What lies beyond a threshold; 0 within.
pub(crate) fn hard_shrink(x: f64, threshold: f64) -> f64 {
    if x.abs() <= threshold { 0.0 } else { x }
}

/// As [`hard_shrink`], moved towards 0 by the threshold.
pub(crate) fn soft_shrink(x: f64, threshold: f64) -> f64 {
    if x > threshold {
        x - threshold
    } else if x < -threshold {
        x + threshold
    } else {
        0.0 * x
    }
}

/// The error function, to about 1e-15: its series near 0, else a continued fraction of what is
/// left to 1 (Abramowitz and Stegun 7.1.6 and 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
    const SQRT_PI: f64 = 1.772_453_850_905_516;
    if x.is_nan() {
        return x;
    }
    let magnitude = x.abs();
    if magnitude >= 6.0 {
        return 1f64.copysign(x);
    }
    let square = magnitude * magnitude;
    let value = if magnitude < 2.5 {
        let mut term = magnitude;
        let mut sum = magnitude;
        let mut n = 0.0;
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * square / (2.0 * n + 1.0);
            sum += term;
        }
        2.0 / SQRT_PI * (-square).exp() * sum
    } else {
        // From the back: 60 levels are more than enough beyond 2.5.
        let fraction =
            (1..=60).rev().fold(magnitude, |rest, n| magnitude + f64::from(n) / 2.0 / rest);
        1.0 - (-square).exp() / SQRT_PI / fraction
    };
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(f: impl Fn(f64) -> f64, x: f64, expected: f64) {
        assert!((f(x) - expected).abs() < 1e-14, "f({x}) is {}, not {expected}", f(x));
    }

    #[test]
    fn the_error_function_is_that_of_the_tables() {
        check(erf, 0.0, 0.0);
        check(erf, 0.5, 0.520_499_877_813_046_5);
        check(erf, 1.0, 0.842_700_792_949_714_9);
        check(erf, -2.0, -0.995_322_265_018_952_7);
        check(erf, 2.4999, 0.999_592_830_099_666_6);
        check(erf, 3.0, 0.999_977_909_503_001_4);
        check(erf, 9.0, 1.0);
        check(erf, f64::NEG_INFINITY, -1.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn activations_know_their_values() {
        check(gelu, 1.0, 0.841_344_746_068_542_9);
        check(gelu_tanh, 1.0, 0.841_191_990_608_276_1);
        check(sigmoid, -1000.0, 0.0);
        check(sigmoid, 0.0, 0.5);
        check(softplus, 1000.0, 1000.0);
        check(softplus, 0.0, 2f64.ln());
        check(mish, 1.0, 0.865_098_388_267_310_3);
        check(selu, -1.0, -1.111_330_737_812_562_6);
        check(|x| elu(x, 2.0), -1.0, 2.0 * (-1f64).exp() - 2.0);
        check(|x| hard_sigmoid(x, 0.2, 0.5), 1.0, 0.7);
        check(hard_swish, 1.0, 2.0 / 3.0);
        check(|x| soft_shrink(x, 0.5), -2.0, -1.5);
        check(|x| hard_shrink(x, 0.5), 0.5, 0.0);
        assert!(relu(f64::NAN).is_nan());
    }
}
