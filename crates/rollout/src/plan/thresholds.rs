//! What a candidate is held to.

use serde::{Deserialize, Serialize};

use super::PlanError;

/// What makes a candidate worse than the stable version.
///
/// A candidate **passes** a stage when the stage's minimums are reached, no test found it worse,
/// and every metric named here was seen within its limit. That is the absence of evidence against
/// it, from enough requests to have found a fault of the size that the plan was made for; it is
/// no proof that the two versions are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// The chance of rolling back a candidate that is no worse, over the whole plan; above 0, at
    /// most 0.5. Shared out evenly among stages, and in a stage among its tests. Limits without
    /// a test (`metrics`, `max_relative_error`) are no part of it: they are meant literally.
    pub false_rollback: f64,
    /// A rise of the error rate that is borne, as a fraction of requests (0.001 is one in a
    /// thousand): below it no evidence of more errors rolls back. 0 to 1.
    pub error_margin: f64,
    /// A rise of latencies that is borne, as a factor from 1 to 16: 1.1 bears answers that take
    /// 10 % longer. Rounded to the buckets of the histogram, which are steps of 9 %.
    pub latency_ratio: f64,
    /// The mean relative error of shadowed answers must not be above this; 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_relative_error: Option<f64>,
    /// The share of shadowed answers with another top class must not be above this; 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_changes: Option<f64>,
    /// No shadowed answer may have a relative error above this: one rolls back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_relative_error: Option<f64>,
    /// Limits on any other figures of the candidate. One beyond its limit rolls back at once, as
    /// whoever measures it decides when it can be believed; one that was not seen holds the
    /// rollout where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricLimit>,
}

/// Where a metric must stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricLimit {
    /// The metric's name.
    pub name: String,
    /// The highest value that is borne.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The lowest value that is borne.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

impl MetricLimit {
    /// Whether a value is within the limits.
    pub fn allows(&self, value: f64) -> bool {
        self.at_most.is_none_or(|limit| value <= limit)
            && self.at_least.is_none_or(|limit| value >= limit)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            false_rollback: 0.05,
            error_margin: 0.001,
            latency_ratio: 1.1,
            mean_relative_error: None,
            class_changes: None,
            max_relative_error: None,
            metrics: Vec::new(),
        }
    }
}

impl Thresholds {
    /// Whether answers of a shadow stage are judged.
    pub(super) fn judges_drift(&self) -> bool {
        [self.mean_relative_error, self.class_changes, self.max_relative_error]
            .iter()
            .any(Option::is_some)
    }

    pub(super) fn check(&self) -> Result<(), PlanError> {
        let above = f64::MIN_POSITIVE;
        let optional = |value: Option<f64>| value.unwrap_or(0.0);
        let ranges = [
            ("false_rollback", self.false_rollback, above, 0.5),
            ("error_margin", self.error_margin, 0.0, 1.0),
            ("latency_ratio", self.latency_ratio, 1.0, 16.0),
            ("mean_relative_error", optional(self.mean_relative_error), 0.0, 1.0),
            ("class_changes", optional(self.class_changes), 0.0, 1.0),
            ("max_relative_error", optional(self.max_relative_error), 0.0, f64::MAX),
        ];
        for (name, found, low, high) in ranges {
            if !(low..=high).contains(&found) {
                return Err(PlanError::Threshold { name, low, high, found });
            }
        }
        for (index, metric) in self.metrics.iter().enumerate() {
            let limits = [metric.at_most, metric.at_least];
            let named_before = self.metrics[..index].iter().any(|other| other.name == metric.name);
            if named_before
                || metric.name.is_empty()
                || limits == [None, None]
                || limits.iter().flatten().any(|limit| limit.is_nan())
            {
                return Err(PlanError::Metric(metric.name.clone()));
            }
        }
        Ok(())
    }
}
