//! Gradients that are not too large.

use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clip {
    /// Not at all.
    #[default]
    None,
    /// All gradients are scaled so that the root of the sum of all squares is at most this
    /// (Pascanu et al.: On the difficulty of training recurrent neural networks, 2013).
    Norm(f32),
    /// Each number is at most this large.
    Value(f32),
}

impl Clip {
    /// What to multiply all gradients by.
    pub(super) fn scale(self, gradients: &[Option<Array>]) -> Result<f32, OpError> {
        let Clip::Norm(most) = self else { return Ok(1.0) };
        let norm = norm(gradients)?;
        Ok(if norm > f64::from(most) { (f64::from(most) / norm) as f32 } else { 1.0 })
    }

    /// The bound on each number.
    pub(super) fn bound(self) -> f32 {
        match self {
            Clip::Value(most) => most,
            Clip::None | Clip::Norm(_) => f32::INFINITY,
        }
    }
}

/// The root of the sum of all squares.
fn norm(gradients: &[Option<Array>]) -> Result<f64, OpError> {
    let mut sum = 0.0;
    for gradient in gradients.iter().flatten() {
        // In pieces, so that a sum of squares in f32 stays exact enough.
        sum += gradient
            .as_floats()?
            .chunks(4096)
            .map(|chunk| f64::from(vector::dot(chunk, chunk)))
            .sum::<f64>();
    }
    Ok(sum.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_of_all_gradients_together() {
        let gradients = [Some(Array::scalar(3.0)), None, Some(Array::scalar(4.0))];
        assert_eq!(Clip::Norm(1.0).scale(&gradients), Ok(0.2));
        assert_eq!(Clip::Norm(10.0).scale(&gradients), Ok(1.0));
        assert_eq!(Clip::Value(2.0).scale(&gradients), Ok(1.0));
        assert_eq!(Clip::Value(2.0).bound(), 2.0);
    }
}
