//! How far answers may be apart where the framework itself gives more than one.

use modelyard_tensor::{DataType, Tensor};

use super::compare;
use crate::Tolerance;

/// How much further a third way to round may be from the first than the second is.
const FACTOR: f64 = 2.0;

/// The tolerance for an output that two sets of the framework's own kernels answer with `one` and
/// with `two`. A network that carries a rounding of one operator to a large difference at its end
/// does so with a rounding of the converted model, too.
pub fn widened(tolerance: &Tolerance, one: &Tensor, two: &Tensor) -> Tolerance {
    let apart = FACTOR * compare(one, two, tolerance, None).worst;
    if !apart.is_finite() {
        return *tolerance;
    }
    let is_float = matches!(
        one.data_type(),
        DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64
    );
    match is_float {
        true => Tolerance { relative: tolerance.relative.max(apart), ..*tolerance },
        false => Tolerance { steps: tolerance.steps.max(apart), ..*tolerance },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_tensor::Shape;

    #[test]
    fn what_the_framework_itself_is_apart_is_allowed() {
        let tolerance = Tolerance { steps: 2.0, ..Tolerance::default() };
        let integers =
            |values: &[i8]| Tensor::from_vec(Shape::new(&[values.len()]), values.to_vec()).unwrap();
        let floats = |values: &[f32]| {
            Tensor::from_vec(Shape::new(&[values.len()]), values.to_vec()).unwrap()
        };
        let same = widened(&tolerance, &integers(&[5, 7]), &integers(&[5, 7]));
        assert_eq!(same, tolerance);
        let apart = widened(&tolerance, &integers(&[5, 7]), &integers(&[5, 17]));
        assert_eq!(apart, Tolerance { steps: 20.0, ..tolerance });
        let apart = widened(&tolerance, &floats(&[1.0, 2.0]), &floats(&[1.5, 2.0]));
        assert_eq!(apart, Tolerance { relative: 0.5, ..tolerance });
    }
}
