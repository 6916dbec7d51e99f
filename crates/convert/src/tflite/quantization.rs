//! Real numbers from quantized elements and back, by TensorFlow Lite's definitions.

use half::{bf16, f16};
use modelyard_graph::ElementType;

use super::model::Quantization;
use super::stop::{Stop, mismatch};

/// The real numbers of stored elements, row-major.
pub(crate) fn real_elements(
    element_type: ElementType,
    dims: &[usize],
    bytes: &[u8],
    quantization: Option<&Quantization>,
) -> Result<Vec<f32>, Stop> {
    fn each<const N: usize>(bytes: &[u8], item: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&chunk| item(chunk)).collect()
    }
    let integers: Vec<i64> = match element_type {
        ElementType::Float32 => return Ok(each(bytes, f32::from_le_bytes)),
        ElementType::Float16 => return Ok(each(bytes, |item| f16::from_le_bytes(item).to_f32())),
        ElementType::Bfloat16 => return Ok(each(bytes, |item| bf16::from_le_bytes(item).to_f32())),
        ElementType::Int8 => bytes.iter().map(|&byte| i64::from(byte as i8)).collect(),
        ElementType::Uint8 => bytes.iter().map(|&byte| i64::from(byte)).collect(),
        ElementType::Int16 => {
            bytes.as_chunks().0.iter().map(|&item| i16::from_le_bytes(item).into()).collect()
        }
        ElementType::Int32 => {
            bytes.as_chunks().0.iter().map(|&item| i32::from_le_bytes(item).into()).collect()
        }
        ElementType::Int64 => {
            bytes.as_chunks().0.iter().map(|&item| i64::from_le_bytes(item)).collect()
        }
        other => return Err(mismatch(format!("expected numbers, found elements of type {other}"))),
    };
    Ok(match quantization {
        Some(quantization) => quantization.real(&integers, dims),
        None => integers.into_iter().map(|value| value as f32).collect(),
    })
}

/// Least and largest integer of a type that quantized tensors have.
pub(crate) fn bounds(element_type: ElementType) -> (i64, i64) {
    match element_type {
        ElementType::Int4 => (-8, 7),
        ElementType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        ElementType::Uint8 => (0, u8::MAX.into()),
        ElementType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        ElementType::Uint16 => (0, u16::MAX.into()),
        ElementType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

impl Quantization {
    /// How many elements lie between two positions along the axis, and how many positions it has.
    fn layout(&self, dims: &[usize]) -> (usize, usize) {
        match self.scales.len() {
            1 => (usize::MAX, 1),
            count => (dims.iter().skip(self.axis + 1).product::<usize>().max(1), count),
        }
    }

    /// What integers stand for, in a tensor of this shape.
    pub(crate) fn real(&self, values: &[i64], dims: &[usize]) -> Vec<f32> {
        let (inner, count) = self.layout(dims);
        let real = |(index, &value): (usize, &i64)| {
            let channel = index / inner % count;
            let steps = value.saturating_sub(self.zero_points[channel]);
            (steps as f64 * f64::from(self.scales[channel])) as f32
        };
        values.iter().enumerate().map(real).collect()
    }

    /// The nearest integers to real numbers, halves away from zero, within the type.
    pub(crate) fn nearest(
        &self,
        values: &[f32],
        dims: &[usize],
        element_type: ElementType,
    ) -> Vec<i64> {
        let (inner, count) = self.layout(dims);
        let (least, most) = bounds(element_type);
        let nearest = |(index, &value): (usize, &f32)| {
            let channel = index / inner % count;
            let steps = (value / self.scales[channel]).round() as i64;
            steps.saturating_add(self.zero_points[channel]).clamp(least, most)
        };
        values.iter().enumerate().map(nearest).collect()
    }

    /// The one scale and zero point; an error where there is one for each position of an axis.
    pub(crate) fn single(&self) -> Result<(f64, i64), Stop> {
        match (self.scales.as_slice(), self.zero_points.as_slice()) {
            ([scale], [zero_point]) => Ok((f64::from(*scale), *zero_point)),
            _ => {
                let found = self.scales.len();
                Err(mismatch(format!("expected one scale of an activation, found {found}")))
            }
        }
    }

    /// Least and largest integer that a fused activation leaves.
    pub(crate) fn range(
        &self,
        (low, high): (f32, f32),
        element_type: ElementType,
    ) -> Result<(i64, i64), Stop> {
        let (scale, zero_point) = self.single()?;
        let (least, most) = bounds(element_type);
        let bound = |value: f32, unbounded: i64| match value.is_finite() {
            true => ((f64::from(value) / scale).round() as i64).saturating_add(zero_point),
            false => unbounded,
        };
        let (low, high) = (bound(low, least), bound(high, most));
        Ok((low.clamp(least, most), high.clamp(least, most)))
    }
}

/// How kernels round the halves of a sum of products that they scale. It is all that the answers of
/// TensorFlow Lite's reference kernels and of its optimized ones differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    /// As the reference kernels.
    AwayFromZero,
    /// As the optimized kernels of convolutions and products.
    Up,
}

/// A factor as TensorFlow Lite multiplies by it: a 31-bit fraction and a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Multiplier {
    fraction: i32,
    shift: i32,
}

impl Multiplier {
    /// The nearest to a positive factor (`QuantizeMultiplier`).
    pub(crate) fn new(factor: f64) -> Multiplier {
        if factor == 0.0 || !factor.is_finite() {
            return Multiplier { fraction: 0, shift: 0 };
        }
        let mut shift = (factor.abs().log2().floor() as i32) + 1;
        let mut fraction = (factor / 2f64.powi(shift) * f64::from(1u32 << 31)).round() as i64;
        // Rounding errors of the logarithm, and fractions that round up to one.
        while fraction.abs() < 1 << 30 {
            shift -= 1;
            fraction = (factor / 2f64.powi(shift) * f64::from(1u32 << 31)).round() as i64;
        }
        if fraction >= 1 << 31 {
            fraction /= 2;
            shift += 1;
        }
        if shift < -31 {
            return Multiplier { fraction: 0, shift: 0 };
        }
        if shift > 30 {
            return Multiplier { fraction: i32::MAX, shift: 30 };
        }
        Multiplier { fraction: fraction as i32, shift }
    }

    /// The factor divided by a number of elements, which keeps as many bits as there are
    /// (`QuantizedMeanOrSum`).
    pub(crate) fn divided_by(self, count: usize) -> Multiplier {
        let count = i64::try_from(count).unwrap_or(i64::MAX).max(1);
        let bits = (count.ilog2() as i32).min(32).min(31 + self.shift).max(0);
        let fraction = ((i128::from(self.fraction) << bits) / i128::from(count)) as i32;
        Multiplier { fraction, shift: self.shift - bits }
    }

    /// `value` times the factor, rounded twice as the kernels do
    /// (`MultiplyByQuantizedMultiplier`): to the fraction, halves up, then to the shift, halves
    /// away from zero.
    pub(crate) fn apply(self, value: i32) -> i32 {
        let left = self.shift.max(0);
        let right = (-self.shift).max(0);
        let shifted = value.wrapping_shl(left as u32);
        let product = high_product(shifted, self.fraction);
        shifted_right(product, right)
    }

    /// `value` times the factor, halves rounded one way or the other.
    pub(crate) fn apply_with(self, halves: Halves, value: i32) -> i32 {
        if halves == Halves::AwayFromZero {
            return self.apply(value);
        }
        let shifted = value.wrapping_shl(self.shift.max(0) as u32);
        let product = i64::from(shifted) * i64::from(self.fraction);
        let product = (product + (1 << 30)) >> 31;
        let right = (-self.shift).clamp(0, 31);
        let half = if right > 0 { 1i64 << (right - 1) } else { 0 };
        ((product + half) >> right) as i32
    }

    /// As [`Multiplier::apply`] for sums of 64 bits, with a fraction of 16 bits, rounded once.
    pub(crate) fn apply_wide(self, value: i64) -> i32 {
        let reduced =
            if self.fraction < 0x7fff_0000 { (self.fraction + (1 << 15)) >> 16 } else { 0x7fff };
        let total = 15 - self.shift;
        let product = i128::from(value) * i128::from(reduced) + (1i128 << (total - 1).max(0));
        (product >> total.max(0)) as i32
    }
}

/// The upper half of twice a product, halves rounded up (`SaturatingRoundingDoublingHighMul`).
fn high_product(one: i32, two: i32) -> i32 {
    if one == i32::MIN && two == i32::MIN {
        return i32::MAX;
    }
    let product = i64::from(one) * i64::from(two);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    ((product + nudge) / (1i64 << 31)) as i32
}

/// Divided by a power of two, rounded, halves away from zero (`RoundingDivideByPOT`).
fn shifted_right(value: i32, exponent: i32) -> i32 {
    if exponent == 0 {
        return value;
    }
    let exponent = exponent.min(31);
    let mask = ((1i64 << exponent) - 1) as i32;
    let remainder = value & mask;
    let threshold = (mask >> 1) + i32::from(value < 0);
    (value >> exponent) + i32::from(remainder > threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_are_a_fraction_and_a_shift() {
        assert_eq!(Multiplier::new(0.5), Multiplier { fraction: 1 << 30, shift: 0 });
        assert_eq!(Multiplier::new(1.0), Multiplier { fraction: 1 << 30, shift: 1 });
        assert_eq!(Multiplier::new(0.75).apply(100), 75);
        assert_eq!(Multiplier::new(0.001).apply(1500), 2);
        assert_eq!(Multiplier::new(0.001).apply(-1500), -2);
        assert_eq!(Multiplier::new(3.0).apply(7), 21);
        // An eighth of -12 is -1.5.
        for (value, away, up) in [(-12, -2, -1), (12, 2, 2), (-16, -2, -2), (-100, -13, -12)] {
            let eighth = Multiplier::new(0.125);
            assert_eq!(eighth.apply_with(Halves::AwayFromZero, value), away);
            assert_eq!(eighth.apply_with(Halves::Up, value), up);
        }
        assert_eq!(Multiplier::new(0.25).apply_wide(1 << 20), 1 << 18);
    }

    #[test]
    fn activations_are_cut_in_steps() {
        let quantization = Quantization { scales: vec![0.05], zero_points: vec![-128], axis: 0 };
        let range = quantization.range((0.0, 6.0), ElementType::Int8).unwrap();
        assert_eq!(range, (-128, -8));
        assert_eq!(
            quantization.nearest(&[0.0, 6.0, 99.0], &[3], ElementType::Int8),
            [-128, -8, 127]
        );
        assert_eq!(quantization.real(&[-128, -8], &[2]), [0.0, 6.0]);
    }
}
