//! How many weights are zero, in the course of a training.

/// The share rises fast while there is much to choose from, and slowly towards its end:
///
/// `s(t) = s1 + (s0 - s1) (1 - t / T)³` in steps t of 0..T, then `s1` (Zhu and Gupta 2017, equation 1).
/// Between two updates the masks stay, so that the weights that are left can make up for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cubic {
    /// The share at first.
    pub from: f64,
    /// The share at the end.
    pub to: f64,
    /// Steps until the end is reached.
    pub steps: u64,
    /// Steps from one update to the next; at least one.
    pub every: u64,
}

impl Cubic {
    /// The share after a step, counted from 0; `None` where masks stay as they are.
    pub fn at(&self, step: u64) -> Option<f64> {
        if step > self.steps || (step < self.steps && !step.is_multiple_of(self.every.max(1))) {
            return None;
        }
        if step == self.steps {
            return Some(self.to);
        }
        let left = 1.0 - step as f64 / self.steps as f64;
        Some(self.to + (self.from - self.to) * left.powi(3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_as_in_the_paper() {
        let schedule = Cubic { from: 0.0, to: 0.8, steps: 100, every: 10 };
        let shares: Vec<Option<f64>> = [0, 5, 50, 100, 110].map(|step| schedule.at(step)).to_vec();
        // 0.8 - 0.8 (1 - 0.5)³ = 0.7
        for (found, expected) in shares.iter().zip([Some(0.0), None, Some(0.7), Some(0.8), None]) {
            match (found, expected) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-12),
                (found, expected) => assert_eq!(*found, expected),
            }
        }
        assert_eq!(Cubic { from: 0.0, to: 0.5, steps: 0, every: 1 }.at(0), Some(0.5));
    }
}
