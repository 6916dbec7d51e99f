//! The first values of weights.

use fastrand::Rng;

use crate::math::random;

/// How weights begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    /// Uniform within ±sqrt(6 / (fan in + fan out)): for sigmoid, tanh, softmax and none (Glorot
    /// and Bengio: Understanding the difficulty of training deep feedforward neural networks,
    /// 2010).
    Glorot,
    /// Normal with variance 2 / fan in: for relu and its kin (He et al.: Delving Deep into
    /// Rectifiers, 2015).
    He,
}

/// The words that say how weights begin.
pub(super) const WORDS: &[&str] = &["auto", "glorot", "he"];

impl Init {
    /// What a word stands for; `auto` follows the activation.
    pub(super) fn of(word: Option<&str>, activation: Option<&str>) -> Init {
        match (word, activation) {
            (Some("glorot"), _) => Init::Glorot,
            (Some("he"), _) => Init::He,
            (_, Some("relu" | "leaky_relu" | "elu" | "gelu" | "hardswish" | "silu")) => Init::He,
            _ => Init::Glorot,
        }
    }

    /// `len` weights between `fan_in` inputs and `fan_out` outputs.
    pub(super) fn weights(self, random: &mut Rng, len: usize, fan: (usize, usize)) -> Vec<f32> {
        let (fan_in, fan_out) = (fan.0.max(1) as f32, fan.1.max(1) as f32);
        match self {
            Init::Glorot => {
                let bound = (6.0 / (fan_in + fan_out)).sqrt();
                (0..len).map(|_| (random.f32() * 2.0 - 1.0) * bound).collect()
            }
            Init::He => {
                let deviation = (2.0 / fan_in).sqrt();
                (0..len).map(|_| random::normal(random) * deviation).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f32, f32) {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let squares: f32 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (mean, squares / values.len() as f32)
    }

    #[test]
    fn variances_are_those_of_the_papers() {
        let mut random = Rng::with_seed(1);
        let (mean, variance) = moments(&Init::He.weights(&mut random, 40_000, (50, 10)));
        assert!(mean.abs() < 5e-3 && (variance - 0.04).abs() < 2e-3, "{mean} {variance}");
        let glorot = Init::Glorot.weights(&mut random, 40_000, (50, 10));
        let (mean, variance) = moments(&glorot);
        // A uniform distribution within ±b has variance b² / 3.
        assert!(mean.abs() < 5e-3 && (variance - 0.1 / 3.0).abs() < 2e-3, "{mean} {variance}");
        assert!(glorot.iter().all(|value| value.abs() <= 0.1f32.sqrt()));
    }
}
