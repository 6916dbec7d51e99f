//! The learning rate over the steps of a run.

use serde::{Deserialize, Serialize};

/// A learning rate that follows the steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The highest rate.
    pub rate: f32,
    /// Steps over which the rate rises to it in equal parts; then the curve begins.
    pub warmup_steps: u64,
    /// How it goes on.
    pub curve: Curve,
}

/// The curve of a learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// Stays.
    #[default]
    Constant,
    /// Is multiplied by `factor` whenever `every` epochs have passed.
    Step {
        /// Epochs.
        every: u64,
        /// Below 1.
        factor: f32,
    },
    /// Falls to zero along half a cosine (Loshchilov and Hutter: SGDR, 2017).
    Cosine,
}

impl Schedule {
    /// A rate that stays.
    pub fn constant(rate: f32) -> Schedule {
        Schedule { rate, warmup_steps: 0, curve: Curve::Constant }
    }

    /// The rate of step `step`, from 0, of a run of `epochs` epochs of `epoch_steps` steps.
    pub fn at(&self, step: u64, epoch_steps: u64, epochs: u64) -> f32 {
        if step < self.warmup_steps {
            return self.rate * (step + 1) as f32 / self.warmup_steps as f32;
        }
        let epoch_steps = epoch_steps.max(1);
        match self.curve {
            Curve::Constant => self.rate,
            Curve::Step { every, factor } => {
                let falls = step / epoch_steps / every.max(1);
                self.rate * factor.powi(i32::try_from(falls).unwrap_or(i32::MAX))
            }
            Curve::Cosine => {
                let total =
                    epoch_steps.saturating_mul(epochs).saturating_sub(self.warmup_steps).max(1);
                let passed = ((step - self.warmup_steps) as f64 / total as f64).min(1.0);
                (f64::from(self.rate) * (1.0 + (std::f64::consts::PI * passed).cos()) / 2.0) as f32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule) -> Vec<f32> {
        (0..6).map(|step| schedule.at(step, 2, 3)).collect()
    }

    #[test]
    fn curves() {
        assert_eq!(rates(Schedule::constant(0.5)), [0.5; 6]);
        let step = Curve::Step { every: 1, factor: 0.5 };
        let schedule = Schedule { rate: 1.0, warmup_steps: 0, curve: step };
        assert_eq!(rates(schedule), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
        let schedule = Schedule { rate: 1.0, warmup_steps: 2, curve: Curve::Cosine };
        let found = rates(schedule);
        assert_eq!(found[..3], [0.5, 1.0, 1.0]);
        assert!((found[4] - 0.5).abs() < 1e-6 && found[5] < found[4]);
        assert!(schedule.at(6, 2, 3) < 1e-6);
    }
}
