//! How far the answers of two versions are apart, over many requests.

use serde::{Deserialize, Serialize};

use crate::Difference;

/// Differences of answers, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drift {
    /// Pairs of answers that were compared.
    pub answers: u64,
    /// The sum of their relative errors, each counted as 1 at most (see
    /// [`Difference::relative_error`]).
    pub sum_relative_error: f64,
    /// The largest relative error, as it was; the largest finite number for an infinite one, as
    /// JSON has no infinity.
    pub max_relative_error: f64,
    /// Pairs with another top class.
    pub class_changes: u64,
    /// Pairs of another shape or datatype, or with NaN in one answer only; they count as a
    /// relative error of 1 as well.
    pub incomparable: u64,
}

impl Drift {
    /// Adds one pair.
    pub fn record(&mut self, difference: &Difference) {
        self.answers += 1;
        self.sum_relative_error += difference.relative_error.clamp(0.0, 1.0);
        let finite = difference.relative_error.min(f64::MAX);
        self.max_relative_error = self.max_relative_error.max(finite);
        self.class_changes += u64::from(!difference.same_top_class);
        self.incomparable += u64::from(difference.incomparable);
    }

    /// Adds another replica's pairs.
    pub fn merge(&mut self, other: &Self) {
        self.answers = self.answers.saturating_add(other.answers);
        self.sum_relative_error += other.sum_relative_error;
        self.max_relative_error = self.max_relative_error.max(other.max_relative_error);
        self.class_changes = self.class_changes.saturating_add(other.class_changes);
        self.incomparable = self.incomparable.saturating_add(other.incomparable);
    }

    /// The mean of relative errors, 0 to 1; 0 of nothing.
    pub fn mean_relative_error(&self) -> f64 {
        self.sum_relative_error / self.answers.max(1) as f64
    }

    /// The share of answers with another top class, 0 to 1; 0 of nothing.
    pub fn class_change_rate(&self) -> f64 {
        self.class_changes.min(self.answers) as f64 / self.answers.max(1) as f64
    }
}
