//! Whether two answers agree, and how far apart they are.

use modelyard_tensor::{DataType, Tensor};

use crate::Tolerance;
use crate::reference::Array;

/// How far one output is from what it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Largest difference, relative to the largest magnitude that was expected, but at least to
    /// 1e-3; of integers and booleans the largest difference itself.
    pub worst: f64,
    /// The largest that is allowed, measured like `worst`.
    pub allowed: f64,
    /// Why the two do not agree; `None` when they do.
    pub mismatch: Option<String>,
}

/// Compares an output with what was expected, element by element.
///
/// Floats may differ by `tolerance.relative` of the largest finite magnitude expected, plus
/// `step * tolerance.steps` where the output is quantized with this step. Infinities must be the
/// same; NaN agrees with NaN. Integers may differ by `tolerance.steps`, those of 16 bits by
/// `tolerance.wide_steps` where that is more; strings not at all. At most a share of `tolerance.outliers` may differ by more.
pub fn compare(
    expected: &Tensor,
    found: &Tensor,
    tolerance: &Tolerance,
    step: Option<f64>,
) -> Agreement {
    let mismatch = |message| Agreement {
        worst: f64::INFINITY,
        mismatch: Some(message),
        ..Agreement::default()
    };
    if expected.data_type() != found.data_type() {
        let (one, two) = (expected.data_type(), found.data_type());
        return mismatch(format!("expected datatype {one}, found {two}"));
    }
    if expected.shape() != found.shape() {
        let (one, two) = (expected.shape(), found.shape());
        return mismatch(format!("expected shape {one}, found {two}"));
    }
    if expected.data_type() == DataType::Bytes {
        return match expected.data() == found.data() {
            true => Agreement::default(),
            false => mismatch("the strings differ".into()),
        };
    }
    let widened = |tensor| Array::from_tensor(tensor).and_then(|array| array.to_f64s());
    match (widened(expected), widened(found)) {
        (Ok(one), Ok(two)) => numbers(expected, &one, &two, tolerance, step),
        _ => mismatch("the elements cannot be compared".into()),
    }
}

fn numbers(
    tensor: &Tensor,
    expected: &[f64],
    found: &[f64],
    tolerance: &Tolerance,
    step: Option<f64>,
) -> Agreement {
    let is_float = matches!(
        tensor.data_type(),
        DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64
    );
    let magnitudes = expected.iter().map(|value| value.abs()).filter(|value| value.is_finite());
    let scale = if is_float { magnitudes.fold(SMALLEST_SCALE, f64::max) } else { 1.0 };
    let allowed = match is_float {
        true => tolerance.relative * scale + tolerance.steps * step.unwrap_or(0.0),
        false if tensor.data_type() == DataType::Int16 => tolerance.steps.max(tolerance.wide_steps),
        false => tolerance.steps,
    };
    let mut worst = Difference::default();
    let mut beyond = 0usize;
    for (index, (&one, &two)) in expected.iter().zip(found).enumerate() {
        let apart =
            if one == two || (one.is_nan() && two.is_nan()) { 0.0 } else { (one - two).abs() };
        // NaN where a number was expected is as far as can be.
        let apart = if apart.is_nan() { f64::INFINITY } else { apart };
        beyond += usize::from(apart > allowed);
        if apart > worst.apart {
            worst = Difference { apart, index, expected: one, found: two };
        }
    }
    let outliers = beyond as f64 / expected.len().max(1) as f64;
    let mismatch = (outliers > tolerance.outliers).then(|| {
        format!(
            "{beyond} of {} elements are further apart than {allowed:.3e}; the worst is element {}: \
             expected {:e}, found {:e}",
            expected.len(),
            worst.index,
            worst.expected,
            worst.found
        )
    });
    Agreement { worst: worst.apart / scale, allowed: allowed / scale, mismatch }
}

/// Outputs that are all smaller than this are compared as if their largest were this: below, the
/// difference is made of rounding errors alone.
const SMALLEST_SCALE: f64 = 1e-3;

#[derive(Default)]
struct Difference {
    apart: f64,
    index: usize,
    expected: f64,
    found: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_tensor::Shape;

    fn floats(values: &[f32]) -> Tensor {
        Tensor::from_vec(Shape::new(&[values.len()]), values.to_vec()).unwrap()
    }

    fn check(expected: &[f32], found: &[f32], agrees: bool) {
        let tolerance = Tolerance::default();
        let agreement = compare(&floats(expected), &floats(found), &tolerance, None);
        assert_eq!(agreement.mismatch.is_none(), agrees, "{agreement:?}");
    }

    #[test]
    fn differences_count_relative_to_the_largest_element() {
        check(&[100.0, 0.0], &[100.0, 0.009], true);
        check(&[100.0, 0.0], &[100.0, 0.011], false);
    }

    #[test]
    fn what_is_no_number_must_be_the_same() {
        check(&[f32::NAN, f32::INFINITY, 1.0], &[f32::NAN, f32::INFINITY, 1.0], true);
        check(&[1.0, 2.0], &[f32::NAN, 2.0], false);
        check(&[f32::INFINITY, 2.0], &[f32::NEG_INFINITY, 2.0], false);
        check(&[f32::INFINITY, 2.0], &[3.0, 2.0], false);
    }

    #[test]
    fn another_shape_is_named() {
        let agreement = compare(&floats(&[1.0]), &floats(&[1.0, 2.0]), &Tolerance::default(), None);
        assert_eq!(agreement.mismatch.as_deref(), Some("expected shape [1], found [2]"));
    }

    #[test]
    fn quantized_outputs_may_be_a_step_apart() {
        let tolerance = Tolerance { steps: 1.0, ..Tolerance::default() };
        let one = compare(&floats(&[1.0]), &floats(&[1.1]), &tolerance, Some(0.1));
        assert_eq!(one.mismatch, None);
        let two = compare(&floats(&[1.0]), &floats(&[1.2]), &tolerance, Some(0.1));
        assert!(two.mismatch.is_some());
    }
}
