//! The affine scheme of quantization: real numbers as small integers.

use modelyard_graph::ElementType;

/// The integers that a tensor is quantized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Whether the integers have a sign.
    pub signed: bool,
    /// Bits that are used, 2 to 8. Seven of eight bits (`reduce_range`) keep the products of processors
    /// without VNNI from saturating.
    pub bits: u32,
    /// Whether zero lies in the middle: the zero point is then 0 (signed) or half of the range.
    pub symmetric: bool,
}

impl Grid {
    /// Unsigned, the whole range: activations.
    pub const U8: Grid = Grid { signed: false, bits: 8, symmetric: false };
    /// Signed with zero in the middle: weights.
    pub const S8: Grid = Grid { signed: true, bits: 8, symmetric: true };

    /// The smallest integer. Symmetric signed grids leave out the one without a counterpart.
    pub fn min(self) -> i32 {
        match (self.signed, self.symmetric) {
            (true, true) => -self.max(),
            (true, false) => -(1 << (self.bits - 1)),
            (false, _) => 0,
        }
    }

    /// The largest integer.
    pub fn max(self) -> i32 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The type of the tensor in the file.
    pub fn element_type(self) -> ElementType {
        if self.signed { ElementType::Int8 } else { ElementType::Uint8 }
    }

    /// Scale and zero point for numbers from `low` to `high`, by
    ///
    /// ```text
    /// scale      = (high - low) / (qmax - qmin)
    /// zero_point = clamp(round(qmin - low / scale), qmin, qmax)
    /// ```
    ///
    /// (Jacob et al., "Quantization and Training of Neural Networks for Efficient
    /// Integer-Arithmetic-Only Inference", 2018, section 2.1). The range is widened to hold zero,
    /// which padding and ReLU need exactly. A symmetric grid has the larger of `-low` and `high` at
    /// its ends, and zero in the middle. A range of nothing, and one that is no number, has scale 1.
    pub fn affine(self, low: f32, high: f32) -> Affine {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let (qmin, qmax) = (self.min() as f32, self.max() as f32);
        if self.symmetric {
            let middle = if self.signed { 0 } else { 1 << (self.bits - 1) };
            let steps = qmax - middle as f32;
            let scale = positive(high.max(-low) / steps);
            return Affine { scale, zero_point: middle, grid: self };
        }
        let scale = positive((high - low) / (qmax - qmin));
        let zero_point = (qmin - low / scale).round_ties_even().clamp(qmin, qmax) as i32;
        Affine { scale, zero_point, grid: self }
    }
}

/// A scale that can be divided by: 1 for what cannot.
fn positive(scale: f32) -> f32 {
    if scale.is_normal() && scale.recip().is_finite() { scale } else { 1.0 }
}

/// How numbers become integers and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The distance between two neighbouring numbers. Positive.
    pub scale: f32,
    /// The integer that stands for zero.
    pub zero_point: i32,
    /// The integers.
    pub grid: Grid,
}

impl Affine {
    /// `clamp(round(x / scale) + zero_point, qmin, qmax)`, halves to the even neighbour, as ONNX's
    /// QuantizeLinear has it. What is no number becomes zero.
    pub fn quantize(self, x: f32) -> i32 {
        let steps = (x / self.scale).round_ties_even();
        if steps.is_nan() {
            return self.zero_point;
        }
        let q = (steps as i64).saturating_add(self.zero_point.into());
        q.clamp(self.grid.min().into(), self.grid.max().into()) as i32
    }

    /// `(q - zero_point) * scale`, as ONNX's DequantizeLinear has it.
    pub fn dequantize(self, q: i32) -> f32 {
        (q - self.zero_point) as f32 * self.scale
    }

    /// What remains of a number after both.
    pub fn rounded(self, x: f32) -> f32 {
        self.dequantize(self.quantize(x))
    }

    /// The smallest and the largest number that is not clamped.
    pub fn range(self) -> (f32, f32) {
        (self.dequantize(self.grid.min()), self.dequantize(self.grid.max()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRIDS: [Grid; 6] = [
        Grid::U8,
        Grid::S8,
        Grid { signed: true, bits: 8, symmetric: false },
        Grid { signed: false, bits: 8, symmetric: true },
        Grid { signed: false, bits: 7, symmetric: false },
        Grid { signed: true, bits: 4, symmetric: true },
    ];

    #[test]
    fn the_standard_scheme_on_numbers_worked_out_by_hand() {
        // 63.75 / 255 = 1/4, and 0 - -16 / (1/4) = 64.
        let affine = Grid::U8.affine(-16.0, 47.75);
        assert_eq!((affine.scale, affine.zero_point), (0.25, 64));
        assert_eq!(
            [-17.0, -16.0, 0.0, 0.374, 47.75].map(|x| affine.quantize(x)),
            [0, 0, 64, 65, 255]
        );
        // Halves go to the even neighbour.
        assert_eq!([0.125, 0.375].map(|x| affine.quantize(x)), [64, 66]);
        let affine = Grid::S8.affine(-0.5, 1.27);
        assert_eq!((affine.scale, affine.zero_point), (0.01, 0));
        assert_eq!([-9.0, -0.5, 1.27].map(|x| affine.quantize(x)), [-127, -50, 127]);
        let affine = Grid::U8.affine(0.0, 6.0);
        assert_eq!((affine.zero_point, affine.quantize(6.0)), (0, 255));
    }

    #[test]
    fn ranges_without_extent_and_numbers_that_are_none_do_no_harm() {
        for grid in GRIDS {
            for (low, high) in
                [(0.0, 0.0), (f32::NAN, f32::NAN), (0.0, f32::INFINITY), (0.0, 1e-44)]
            {
                let affine = grid.affine(low, high);
                assert!(affine.scale.is_normal() && affine.rounded(0.0) == 0.0, "{affine:?}");
            }
            let affine = grid.affine(-1.0, 1.0);
            assert_eq!(affine.quantize(f32::NAN), affine.zero_point);
            assert_eq!(affine.quantize(f32::INFINITY), grid.max());
            assert_eq!(affine.quantize(f32::NEG_INFINITY), grid.min());
        }
    }

    proptest! {
        #[test]
        fn numbers_in_range_come_back_within_half_a_step(
            low in -1e3f32..0.0, high in 1e-3f32..1e3, at in 0.0f32..=1.0, grid in 0usize..6,
        ) {
            let affine = GRIDS[grid].affine(low, high);
            let x = low + (high - low) * at;
            // Rounding of the zero point moves the ends by up to half a step more.
            prop_assert!((affine.rounded(x) - x).abs() <= affine.scale * 1.01, "{affine:?} {x}");
            prop_assert_eq!(affine.rounded(0.0), 0.0);
            prop_assert!((GRIDS[grid].min()..=GRIDS[grid].max()).contains(&affine.zero_point));
        }
    }
}
