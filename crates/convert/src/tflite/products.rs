//! Sums of products: what convolutions and fully connected layers have in common, in the three
//! kinds of arithmetic that TensorFlow Lite has for them.
//!
//! * **Real**: floats times floats.
//! * **Quantized**: integers times integers, added up exactly, the sum scaled by a fixed-point
//!   multiplier.
//! * **Hybrid**: weights are integers; the floats of each row of the input are rounded to 8-bit
//!   integers on the fly.

use modelyard_graph::ElementType;

use super::evaluate::Evaluation;
use super::model::{Operator, Quantization};
use super::quantization::Multiplier;
use super::schema::Activation;
use super::stop::{Stop, mismatch};
use super::window::{integer_products, products};
use crate::reference::Array;

/// Two factors, made ready to be multiplied.
pub(crate) struct Operands {
    /// The input: floats, or integers without their zero point.
    pub(crate) x: Vec<f32>,
    pub(crate) x_dims: Vec<usize>,
    /// The weights, likewise.
    pub(crate) weights: Vec<f32>,
    pub(crate) weight_dims: Vec<usize>,
    arithmetic: Arithmetic,
}

enum Arithmetic {
    Real,
    Quantized {
        x: Quantization,
        weights: Quantization,
        /// Whether sums have 64 bits, as those of 16-bit inputs.
        wide: bool,
    },
    Hybrid {
        /// Of each row of the input.
        scales: Vec<f32>,
        weights: Quantization,
    },
}

/// Sums of products.
pub(crate) enum Sums {
    Real(Vec<f32>),
    Steps(Vec<i64>),
}

impl Operands {
    /// The factors of an operator: tensors `x` and `weights`. `rows` says how many rows the input
    /// of this shape has, which hybrid kernels round one by one.
    pub(crate) fn read(
        cx: &mut Evaluation<'_>,
        (x, weights): (usize, usize),
        is_asymmetric: bool,
        rows: impl Fn(&[usize]) -> usize,
    ) -> Result<Operands, Stop> {
        let weights_quantization = cx.quantized(weights);
        let x_quantization = cx.quantized(x);
        let stored = cx.raw(weights)?;
        let (Some(weights_quantization), Ok(steps)) = (weights_quantization, stored.as_ints())
        else {
            let (x, weights) = (cx.real(x)?, cx.real(weights)?);
            return Ok(Operands {
                x: x.as_floats()?.to_vec(),
                x_dims: x.dims().to_vec(),
                weights: weights.as_floats()?.to_vec(),
                weight_dims: weights.dims().to_vec(),
                arithmetic: Arithmetic::Real,
            });
        };
        let weight_dims = stored.dims().to_vec();
        let without = Quantization {
            scales: vec![1.0; weights_quantization.scales.len()],
            ..weights_quantization.clone()
        };
        let weights = without.real(steps, &weight_dims);
        let raw = cx.raw(x)?;
        let x_dims = raw.dims().to_vec();
        let (x, arithmetic) = match x_quantization {
            Some(quantization) => {
                let (_, zero_point) = quantization.single()?;
                let steps = raw.as_ints()?.iter().map(|&step| (step - zero_point) as f32).collect();
                let wide = raw.element_type() == ElementType::Int16;
                let weights = weights_quantization;
                (steps, Arithmetic::Quantized { x: quantization, weights, wide })
            }
            None => {
                let rows = rows(&x_dims).max(1);
                let (steps, scales) = rounded_rows(raw.as_floats()?, rows, is_asymmetric);
                (steps, Arithmetic::Hybrid { scales, weights: weights_quantization })
            }
        };
        Ok(Operands { x, x_dims, weights, weight_dims, arithmetic })
    }

    /// The products of rows of the input with rows of the weights, `k` elements each.
    pub(crate) fn products(
        &self,
        x: &[f32],
        weights: &[f32],
        out: usize,
        k: usize,
    ) -> Result<Sums, Stop> {
        if k == 0 || weights.len() != out * k || !x.len().is_multiple_of(k) {
            return Err(mismatch(format!("{} weights are not {out} rows of {k}", weights.len())));
        }
        match self.arithmetic {
            Arithmetic::Real => products(x, weights, out, k).map(Sums::Real),
            _ => integer_products(x, weights, out, k).map(Sums::Steps),
        }
    }

    /// Sums that were added up one by one: floats, or integers in floats of 64 bits.
    pub(crate) fn sums(&self, sums: Vec<f64>) -> Sums {
        match self.arithmetic {
            Arithmetic::Real => Sums::Real(sums.into_iter().map(|sum| sum as f32).collect()),
            _ => Sums::Steps(sums.into_iter().map(|sum| sum as i64).collect()),
        }
    }

    /// Adds the bias, applies the activation, and gives the result to a tensor of shape `dims`,
    /// whose last dimension is that of the channels.
    pub(crate) fn finish(
        &self,
        cx: &mut Evaluation<'_>,
        (output, dims): (usize, &[usize]),
        sums: Sums,
        bias: Option<usize>,
        activation: Activation,
    ) -> Result<(), Stop> {
        let channels = dims.last().copied().unwrap_or(1).max(1);
        let mut values = match (&self.arithmetic, sums) {
            (Arithmetic::Quantized { x, weights, wide }, Sums::Steps(mut sums)) => {
                if let Some(bias) = bias {
                    let bias = cx.ints(bias)?;
                    check_bias(bias.len(), channels)?;
                    for (index, sum) in sums.iter_mut().enumerate() {
                        *sum += bias[index % channels];
                    }
                }
                let scaled = Scaled { x, weights, wide: *wide && bias_is_wide(cx, bias) };
                let steps = scaled.steps(cx, output, &sums, activation)?;
                return cx.give_steps(output, dims, steps);
            }
            (_, Sums::Real(values)) => values,
            (Arithmetic::Hybrid { scales, weights }, Sums::Steps(sums)) => {
                let per_row = (sums.len() / scales.len().max(1)).max(1);
                let scale = |(index, &sum): (usize, &i64)| {
                    let channel = index % channels % weights.scales.len();
                    sum as f32 * (scales[index / per_row] * weights.scales[channel])
                };
                sums.iter().enumerate().map(scale).collect()
            }
            _ => return Err(mismatch("sums of integers without a scale")),
        };
        if let Some(bias) = bias {
            let bias = cx.real(bias)?;
            let bias = bias.as_floats()?;
            check_bias(bias.len(), channels)?;
            for (index, value) in values.iter_mut().enumerate() {
                *value += bias[index % channels];
            }
        }
        let values = values.into_iter().map(|value| activation.apply(value)).collect();
        cx.give_real(output, Array::floats(dims, values)?)
    }
}

fn check_bias(found: usize, channels: usize) -> Result<(), Stop> {
    match found == channels {
        true => Ok(()),
        false => Err(mismatch(format!("expected a bias of {channels} elements, found {found}"))),
    }
}

fn bias_is_wide(cx: &Evaluation<'_>, bias: Option<usize>) -> bool {
    bias.is_none_or(|bias| cx.tensor(bias).element_type == Some(ElementType::Int64))
}

/// How sums of integers become the integers of the output.
struct Scaled<'a> {
    x: &'a Quantization,
    weights: &'a Quantization,
    wide: bool,
}

impl Scaled<'_> {
    fn steps(
        &self,
        cx: &Evaluation<'_>,
        output: usize,
        sums: &[i64],
        activation: Activation,
    ) -> Result<Vec<i64>, Stop> {
        let quantization = cx.quantized(output);
        let quantization = quantization.ok_or_else(|| mismatch("the output is not quantized"))?;
        let element_type = cx.tensor(output).element_type.unwrap_or(ElementType::Int8);
        let (scale, zero_point) = quantization.single()?;
        let (low, high) = quantization.range(activation.range(), element_type)?;
        let (x_scale, _) = self.x.single()?;
        let multipliers: Vec<Multiplier> = (self.weights.scales.iter())
            .map(|&weight| Multiplier::new(x_scale * f64::from(weight) / scale))
            .collect();
        // The channels are the last dimension; a single multiplier is for all of them.
        let channels = multipliers.len();
        let step = |(index, &sum): (usize, &i64)| {
            let multiplier = multipliers[index % channels];
            let scaled = match self.wide {
                true => multiplier.apply_wide(sum),
                false => multiplier.apply_with(cx.halves, sum as i32),
            };
            (i64::from(scaled) + zero_point).clamp(low, high)
        };
        Ok(sums.iter().enumerate().map(step).collect())
    }
}

/// Each row of floats rounded to integers of 8 bits without zero point, and the scale of each.
fn rounded_rows(values: &[f32], rows: usize, is_asymmetric: bool) -> (Vec<f32>, Vec<f32>) {
    let width = (values.len() / rows).max(1);
    let mut steps = Vec::with_capacity(values.len());
    let mut scales = Vec::new();
    for row in values.chunks(width) {
        let (low, high) =
            row.iter().fold((0f32, 0f32), |(low, high), &value| (low.min(value), high.max(value)));
        let (scale, zero_point) = match is_asymmetric {
            true => asymmetric(low, high),
            false => (high.max(-low) / 127.0, 0.0),
        };
        let least = if is_asymmetric { -128.0 } else { -127.0 };
        scales.push(if scale == 0.0 { 1.0 } else { scale });
        let step = |&value: &f32| match scale == 0.0 {
            true => 0.0,
            false => ((value / scale).round() + zero_point).clamp(least, 127.0) - zero_point,
        };
        steps.extend(row.iter().map(step));
    }
    (steps, scales)
}

/// Scale and zero point for a range that holds 0 (`AsymmetricQuantizeFloats`).
fn asymmetric(low: f32, high: f32) -> (f32, f32) {
    let (least, most) = (-128f64, 127f64);
    let (low, high) = (f64::from(low), f64::from(high));
    if low == high {
        return (0.0, 0.0);
    }
    let scale = (high - low) / (most - least);
    let (from_low, from_high) = (least - low / scale, most - high / scale);
    let low_error = least.abs() + (low / scale).abs();
    let high_error = most.abs() + (high / scale).abs();
    let zero_point = if low_error < high_error { from_low } else { from_high };
    (scale as f32, zero_point.clamp(least, most).round() as f32)
}

impl Activation {
    /// Of one float.
    pub(crate) fn apply(self, value: f32) -> f32 {
        match self {
            Activation::None => value,
            Activation::Tanh => value.tanh(),
            _ => {
                let (low, high) = self.range();
                if value.is_nan() { value } else { value.max(low).min(high) }
            }
        }
    }
}

impl Operator {
    /// The fused activation, for the evaluator.
    pub(crate) fn activation(&self, field: usize) -> Result<Activation, Stop> {
        let code = self.options.code(field)?;
        Activation::from_code(code)
            .ok_or_else(|| mismatch(format!("expected a fused activation, found {code}")))
    }
}
