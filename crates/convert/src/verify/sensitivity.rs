//! How much a model makes of rounding errors.
//!
//! Some models divide by differences of their input, or take logarithms of sums that are nearly
//! zero. Two correct programs then differ by more than any fixed tolerance. What can be asked of an
//! answer is that it is right for inputs that differ from the given ones by no more than rounding
//! does (backward stability: Higham, Accuracy and Stability of Numerical Algorithms, section 1.5).

use fastrand::Rng;
use modelyard_tensor::{DataType, Tensor};

use super::compare;
use crate::{EvaluateError, SourceModel, Tolerance};

/// By which part inputs are changed at most: a few roundings of 32-bit floats, as many operations
/// one after the other make.
const PART: f64 = 1.0 / (1 << 21) as f64;

/// How far `answers`, which the source gives for `inputs`, move when the inputs change by about
/// a part in two millions: by output, relative to its largest magnitude as [`compare`] measures.
pub fn sensitivity(
    source: &dyn SourceModel,
    inputs: &[Tensor],
    answers: &[Tensor],
) -> Result<Vec<f64>, EvaluateError> {
    let mut random = Rng::with_seed(7);
    let moved: Result<Vec<Tensor>, _> =
        inputs.iter().map(|input| nudged(input, &mut random)).collect();
    let moved = source.evaluate(&moved?)?;
    let strict = Tolerance { relative: 0.0, ..Tolerance::default() };
    let distance = |(one, two)| compare(one, two, &strict, None).worst;
    Ok(answers.iter().zip(&moved).map(distance).collect())
}

/// The same tensor with each 32-bit float changed a little; other types as they are.
fn nudged(tensor: &Tensor, random: &mut Rng) -> Result<Tensor, EvaluateError> {
    if tensor.data_type() != DataType::Fp32 {
        return Ok(tensor.clone());
    }
    let error = |error: &dyn std::fmt::Display| EvaluateError::new(error.to_string());
    let values = tensor.values::<f32>().map_err(|problem| error(&problem))?;
    let nudge = |&value: &f32| {
        let part = PART * (2.0 * random.f64() - 1.0);
        (f64::from(value) * (1.0 + part)) as f32
    };
    let values: Vec<f32> = values.iter().map(nudge).collect();
    Tensor::from_vec(tensor.shape().clone(), values).map_err(|problem| error(&problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conversion, ConvertError, Format, Options};
    use modelyard_tensor::Shape;

    /// `x - 1000`, or the same a thousand times.
    struct Difference(f32);

    impl SourceModel for Difference {
        fn format(&self) -> Format {
            Format::Onnx
        }

        fn producer(&self) -> String {
            String::new()
        }

        fn convert(&self, _: &Options) -> Result<Conversion, ConvertError> {
            unreachable!("only evaluated")
        }

        fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
            let values = inputs[0].values::<f32>().unwrap();
            let values = values.iter().map(|value| value - self.0).collect();
            Ok(vec![Tensor::from_vec(inputs[0].shape().clone(), values).unwrap()])
        }
    }

    fn moves(subtracted: f32) -> f64 {
        let x = Tensor::from_vec(Shape::new(&[2]), vec![1000.5f32, 999.75]).unwrap();
        let model = Difference(subtracted);
        let answers = model.evaluate(std::slice::from_ref(&x)).unwrap();
        sensitivity(&model, &[x], &answers).unwrap()[0]
    }

    #[test]
    fn cancellation_is_noticed_and_nothing_else() {
        assert!((1e-5..2e-3).contains(&moves(1000.0)), "{}", moves(1000.0));
        assert!(moves(0.0) < 1e-6, "{}", moves(0.0));
    }
}
