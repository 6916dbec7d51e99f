//! Two versions' answers to one request, compared in numbers.
//!
//! For shadow traffic and for replayed tapes. An answer is compared as a whole: differences
//! relative to single elements say nothing where an element is near zero.

use half::{bf16, f16};
use modelyard_tensor::{DataType, TensorView};

/// How far a candidate's answer is from the stable version's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// `‖candidate − stable‖₂ / ‖stable‖₂`: 0 for equal answers; infinite when only the stable
    /// answer is all zeros (or so near, below 1e-162, that squares are), or when the two can't be
    /// compared.
    pub relative_error: f64,
    /// The largest difference of an element, in the answer's own unit.
    pub max_absolute_error: f64,
    /// The cosine of the angle between the answers, -1 to 1; 1 for two answers of zeros.
    pub cosine: f64,
    /// Whether the largest element of every row (the last dimension) is at the same place; the
    /// first of equals counts. Always true for rows of one element.
    pub same_top_class: bool,
    /// Another shape or datatype, or NaN or an infinity where the other answer has another value.
    /// NaN against NaN, and an infinity against itself, are equal.
    pub incomparable: bool,
}

impl Difference {
    /// No difference.
    pub const NONE: Difference = Difference {
        relative_error: 0.0,
        max_absolute_error: 0.0,
        cosine: 1.0,
        same_top_class: true,
        incomparable: false,
    };

    /// As different as can be.
    pub const INCOMPARABLE: Difference = Difference {
        relative_error: f64::INFINITY,
        max_absolute_error: f64::INFINITY,
        cosine: 0.0,
        same_top_class: false,
        incomparable: true,
    };

    /// The worse of two, figure by figure: the difference of answers with several outputs.
    pub fn worst(self, other: Self) -> Self {
        Difference {
            relative_error: self.relative_error.max(other.relative_error),
            max_absolute_error: self.max_absolute_error.max(other.max_absolute_error),
            cosine: self.cosine.min(other.cosine),
            same_top_class: self.same_top_class && other.same_top_class,
            incomparable: self.incomparable || other.incomparable,
        }
    }
}

/// Compares two tensors. Numbers of any datatype are compared as `f64`; `BYTES` are the same or
/// not. Bytes that are too few for the shape are compared as far as both go, never out of bounds.
pub fn compare_tensors(stable: TensorView<'_>, candidate: TensorView<'_>) -> Difference {
    let same_form = stable.data_type == candidate.data_type
        && stable.shape == candidate.shape
        && stable.data.len() == candidate.data.len();
    if !same_form {
        return Difference::INCOMPARABLE;
    }
    if stable.data == candidate.data {
        return Difference::NONE;
    }
    let row = stable.shape.last().copied().unwrap_or(1);
    let (left, right) = (stable.data, candidate.data);
    match stable.data_type {
        DataType::Bytes => Difference { incomparable: false, ..Difference::INCOMPARABLE },
        DataType::Bool | DataType::Uint8 => elements(left, right, row, |[b]| f64::from(b)),
        DataType::Int8 => elements(left, right, row, |b| f64::from(i8::from_le_bytes(b))),
        DataType::Uint16 => elements(left, right, row, |b| f64::from(u16::from_le_bytes(b))),
        DataType::Int16 => elements(left, right, row, |b| f64::from(i16::from_le_bytes(b))),
        DataType::Uint32 => elements(left, right, row, |b| f64::from(u32::from_le_bytes(b))),
        DataType::Int32 => elements(left, right, row, |b| f64::from(i32::from_le_bytes(b))),
        DataType::Uint64 => elements(left, right, row, |b| u64::from_le_bytes(b) as f64),
        DataType::Int64 => elements(left, right, row, |b| i64::from_le_bytes(b) as f64),
        DataType::Fp16 => elements(left, right, row, |b| f16::from_le_bytes(b).to_f64()),
        DataType::Bf16 => elements(left, right, row, |b| bf16::from_le_bytes(b).to_f64()),
        DataType::Fp32 => elements(left, right, row, |b| f64::from(f32::from_le_bytes(b))),
        DataType::Fp64 => elements(left, right, row, f64::from_le_bytes),
    }
}

/// Compares two answers of `row` elements a row, as numbers.
pub fn compare_values(
    stable: impl ExactSizeIterator<Item = f64>,
    candidate: impl ExactSizeIterator<Item = f64>,
    row: usize,
) -> Difference {
    if stable.len() != candidate.len() {
        return Difference::INCOMPARABLE;
    }
    let mut sums = Sums::new(row);
    stable.zip(candidate).for_each(|(stable, candidate)| sums.add(stable, candidate));
    sums.finish()
}

fn elements<const N: usize>(
    stable: &[u8],
    candidate: &[u8],
    row: usize,
    read: impl Fn([u8; N]) -> f64,
) -> Difference {
    let (stable, candidate) = (stable.as_chunks().0, candidate.as_chunks().0);
    compare_values(stable.iter().map(|b| read(*b)), candidate.iter().map(|b| read(*b)), row)
}

/// One pass over two answers.
struct Sums {
    row: usize,
    in_row: usize,
    /// Place and value of the largest element of the row, of either answer.
    tops: [(usize, f64); 2],
    same_top_class: bool,
    incomparable: bool,
    difference: f64,
    stable: f64,
    candidate: f64,
    product: f64,
    max_absolute_error: f64,
}

impl Sums {
    fn new(row: usize) -> Self {
        Sums {
            row: row.max(1),
            in_row: 0,
            tops: [(0, f64::NEG_INFINITY); 2],
            same_top_class: true,
            incomparable: false,
            difference: 0.0,
            stable: 0.0,
            candidate: 0.0,
            product: 0.0,
            max_absolute_error: 0.0,
        }
    }

    fn add(&mut self, stable: f64, candidate: f64) {
        for (top, value) in self.tops.iter_mut().zip([stable, candidate]) {
            if value > top.1 {
                *top = (self.in_row, value);
            }
        }
        self.in_row += 1;
        if self.in_row == self.row {
            self.end_row();
        }
        if stable.is_finite() && candidate.is_finite() {
            self.difference += (candidate - stable).powi(2);
            self.stable += stable * stable;
            self.candidate += candidate * candidate;
            self.product += stable * candidate;
            self.max_absolute_error = self.max_absolute_error.max((candidate - stable).abs());
        } else if stable != candidate && !(stable.is_nan() && candidate.is_nan()) {
            self.incomparable = true;
        }
    }

    fn end_row(&mut self) {
        self.same_top_class &= self.tops[0].0 == self.tops[1].0;
        self.tops = [(0, f64::NEG_INFINITY); 2];
        self.in_row = 0;
    }

    fn finish(self) -> Difference {
        let differs = self.max_absolute_error > 0.0;
        let relative_error = match (self.incomparable, differs) {
            (true, _) => f64::INFINITY,
            (false, false) => 0.0,
            // Squares that f64 can't hold: as far apart as can be.
            (false, true) if self.stable == 0.0 || self.stable.is_infinite() => f64::INFINITY,
            (false, true) => self.difference.sqrt() / self.stable.sqrt(),
        };
        let norms = self.stable.sqrt() * self.candidate.sqrt();
        let cosine = match (norms > 0.0 && norms.is_finite(), differs) {
            (true, _) => (self.product / norms).clamp(-1.0, 1.0),
            (false, true) => 0.0,
            (false, false) => 1.0,
        };
        Difference {
            relative_error,
            max_absolute_error: if self.incomparable {
                f64::INFINITY
            } else {
                self.max_absolute_error
            },
            cosine,
            same_top_class: self.same_top_class,
            incomparable: self.incomparable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Drift;

    fn compare(stable: &[f32], candidate: &[f32]) -> Difference {
        let shape = [stable.len()];
        let bytes = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let (left, right) = (bytes(stable), bytes(candidate));
        let view = |data| TensorView { data_type: DataType::Fp32, shape: &shape, data };
        compare_tensors(view(&left), view(&right))
    }

    #[test]
    fn figures_follow_their_formulas() {
        let difference = compare(&[3.0, 4.0], &[3.0, 4.5]);
        assert_eq!(difference.relative_error, 0.1);
        assert_eq!(difference.max_absolute_error, 0.5);
        assert!((difference.cosine - 27.0 / (5.0 * 29.25f64.sqrt())).abs() < 1e-15);
        assert!(difference.same_top_class && !difference.incomparable);
        assert!(!compare(&[0.6, 0.4], &[0.4, 0.6]).same_top_class);
        assert!(compare(&[0.5, 0.5], &[0.5, 0.49]).same_top_class, "the first of equals");
    }

    #[test]
    fn zeros_and_equal_answers_are_no_division_by_zero() {
        assert_eq!(compare(&[0.0, 0.0], &[-0.0, 0.0]), Difference::NONE);
        assert_eq!(compare(&[], &[]), Difference::NONE);
        let from_zero = compare(&[0.0], &[1.0]);
        assert_eq!((from_zero.relative_error, from_zero.cosine), (f64::INFINITY, 0.0));
    }

    #[test]
    fn squares_beyond_f64_are_no_nan() {
        let huge = compare_values([1e300, 1.0].into_iter(), [1e300, 2.0].into_iter(), 2);
        assert_eq!((huge.relative_error, huge.cosine), (f64::INFINITY, 0.0));
    }

    #[test]
    fn nan_is_equal_to_nan_only() {
        let nan = f32::NAN;
        assert_eq!(compare(&[nan, 1.0], &[-nan, 1.0]).relative_error, 0.0);
        assert!(compare(&[nan, 1.0], &[0.0, 1.0]).incomparable);
        assert!(compare(&[0.0, 1.0], &[nan, 1.0]).incomparable);
        let infinity = f32::INFINITY;
        assert!(compare(&[infinity, 1.0], &[-infinity, 1.0]).incomparable);
        assert_eq!(compare(&[infinity, 1.0], &[infinity, 2.0]).relative_error, 1.0);
    }

    #[test]
    fn top_classes_are_compared_row_by_row() {
        let values = |values: [f64; 4]| values.into_iter();
        let same = compare_values(values([1., 0., 0., 1.]), values([2., 0., 0., 2.]), 2);
        assert!(same.same_top_class);
        let other = compare_values(values([1., 0., 0., 1.]), values([2., 0., 3., 2.]), 2);
        assert!(!other.same_top_class);
    }

    #[test]
    fn every_datatype_is_read_and_forms_must_agree() {
        for data_type in DataType::ALL {
            let (zeros, ones) = ([0u8; 8], [1u8; 8]);
            let view = |data| TensorView { data_type, shape: &[1], data };
            assert_eq!(compare_tensors(view(&zeros), view(&zeros)), Difference::NONE);
            assert!(compare_tensors(view(&ones), view(&zeros)).relative_error > 0.0, "{data_type}");
            let longer = TensorView { shape: &[2], ..view(&zeros) };
            assert!(compare_tensors(view(&zeros), longer).incomparable);
        }
    }

    #[test]
    fn one_hopeless_answer_counts_as_one() {
        let mut drift = Drift::default();
        drift.record(&Difference::NONE);
        drift.record(&Difference::INCOMPARABLE);
        assert_eq!(drift.mean_relative_error(), 0.5);
        assert_eq!((drift.class_changes, drift.incomparable), (1, 1));
        assert_eq!(drift.max_relative_error, f64::MAX);
        let json = serde_json::to_string(&drift).unwrap();
        assert_eq!(serde_json::from_str::<Drift>(&json).unwrap(), drift);
    }
}
