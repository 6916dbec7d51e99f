//! What is known about the two versions since a stage began.

use serde::{Deserialize, Serialize};

use crate::{Drift, LatencyHistogram};

/// Figures of one version: counts that only grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VersionFigures {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Those that failed by the server's fault. What the caller did wrong counts as well for
    /// both versions, so leave it out of both figures or in both.
    pub errors: u64,
    /// Latencies of the requests that were answered.
    pub latency: LatencyHistogram,
}

impl VersionFigures {
    /// Adds another replica's figures.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.latency.merge(&other.latency);
    }

    /// What was counted since `earlier`; never negative.
    pub fn since(&self, earlier: &Self) -> Self {
        VersionFigures {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            latency: self.latency.since(&earlier.latency),
        }
    }

    /// Errors by request, 0 to 1; 0 of nothing.
    pub fn error_rate(&self) -> f64 {
        self.errors.min(self.requests) as f64 / self.requests.max(1) as f64
    }
}

/// All that the judge looks at, counted since the stage began (see [`crate::State::since`]).
///
/// In a step, both versions count the requests that the split gave them. In a shadow stage,
/// `candidate` counts the copies and `stable` the requests that were *not* copied: the copied
/// ones are a random sample then as with a split, and the two stay independent. (A shadow of
/// 100 % leaves none to compare errors with: only its drift and metrics are judged.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Observations {
    /// The version that answered before.
    pub stable: VersionFigures,
    /// The version that is tried.
    pub candidate: VersionFigures,
    /// How the answers to shadowed requests differ.
    pub drift: Drift,
    /// Other figures of the candidate, by the names of the plan's metrics.
    pub metrics: Vec<Metric>,
}

/// A figure by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The name that the plan's limit has.
    pub name: String,
    /// Its value now; NaN counts as not seen.
    pub value: f64,
}

impl Observations {
    /// Adds another replica's figures. A metric that both have keeps the value of `self`.
    pub fn merge(&mut self, other: &Self) {
        self.stable.merge(&other.stable);
        self.candidate.merge(&other.candidate);
        self.drift.merge(&other.drift);
        for metric in &other.metrics {
            if self.metric(&metric.name).is_none() {
                self.metrics.push(metric.clone());
            }
        }
    }

    /// A metric's value, if it was seen.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let found = self.metrics.iter().find(|metric| metric.name == name)?;
        (!found.value.is_nan()).then_some(found.value)
    }
}
