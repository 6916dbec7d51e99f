//! A decision with the numbers that made it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Step, write_time};
use crate::{Active, Observations, Stage, State};

/// What the judge wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing: keep watching.
    Continue,
    /// Take the plan's next step.
    Advance,
    /// Give all traffic to the candidate.
    Promote,
    /// Take all traffic from the candidate.
    RollBack,
}

/// What the judge decided, and why. Stored in the audit log as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The epoch of the state it was made for, and is good for.
    pub epoch: u64,
    /// The stage of that state.
    pub stage: Stage,
    /// How long the stage had lasted, in milliseconds.
    pub elapsed_ms: u64,
    /// Requests of the stable version since then.
    pub stable_requests: u64,
    /// Requests of the candidate since then; copies in a shadow stage.
    pub candidate_requests: u64,
    /// Every test with its numbers.
    pub findings: Vec<Finding>,
    /// One sentence for people.
    pub reason: String,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Shares of failed requests.
    ErrorRate,
    /// Shares of requests above a latency, where the evidence is greatest. The candidate's latency
    /// is `latency_ratio` times the stable version's, in steps of the histogram.
    SlowerThan {
        /// In microseconds, of the stable version's requests.
        stable_us: u64,
        /// In microseconds, of the candidate's requests.
        candidate_us: u64,
    },
    /// The mean relative error of shadowed answers.
    MeanRelativeError,
    /// The share of shadowed answers with another top class.
    ClassChanges,
    /// The largest relative error of a shadowed answer.
    MaxRelativeError,
    /// A metric by name.
    Metric(String),
}

/// One test or limit, and how the candidate stands to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What was judged.
    pub subject: Subject,
    /// The stable version's figure, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<f64>,
    /// The candidate's figure; absent when it was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<f64>,
    /// p50 and p99 of the stable version and of the candidate in milliseconds; of latency only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles_ms: Option<[[f64; 2]; 2]>,
    /// The natural logarithm of the e-value against the candidate; absent from plain limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<f64>,
    /// Where evidence, or the figure itself, is too much; absent from limits with two ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Whether the candidate was found worse.
    pub failed: bool,
}

impl Finding {
    /// Whether there is nothing to judge it by.
    pub(super) fn missing(&self) -> bool {
        self.candidate.is_none()
    }
}

/// What a stage still waits for.
pub(super) enum Wait {
    Requests { needed: u64, found: u64, what: &'static str },
    Time { needed: Duration, found: Duration },
    Metric(String),
}

impl Wait {
    /// The first minimum that is not reached.
    pub(super) fn of(
        active: Active,
        step: &Step,
        elapsed: Duration,
        observed: &Observations,
    ) -> Option<Wait> {
        let (found, what) = match active {
            Active::Shadow => (observed.drift.answers, "compared answers"),
            Active::Step(_) => (observed.candidate.requests, "requests of the candidate"),
        };
        if found < step.min_requests {
            return Some(Wait::Requests { needed: step.min_requests, found, what });
        }
        let time = Wait::Time { needed: step.min_time, found: elapsed };
        (elapsed < step.min_time).then_some(time)
    }

    pub(super) fn metric(finding: &Finding) -> Wait {
        match &finding.subject {
            Subject::Metric(name) => Wait::Metric(name.clone()),
            other => Wait::Metric(format!("{other:?}")),
        }
    }
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wait::Requests { needed, found, what } => write!(f, "{found} of {needed} {what}"),
            Wait::Time { needed, found } => {
                let seconds = Duration::from_secs(found.as_secs());
                write!(f, "{} of {}", write_time(seconds), write_time(*needed))
            }
            Wait::Metric(name) => write!(f, "no value yet of metric '{name}'"),
        }
    }
}

impl Decision {
    /// For a rollout that the judge does not move.
    pub(super) fn idle(state: &State, elapsed: Duration, observed: &Observations) -> Self {
        let reason = match state.stage {
            Stage::Active(active) => format!("the plan has no {active}; nothing is judged"),
            stage => format!("the rollout is {stage}; nothing is judged"),
        };
        Decision {
            action: Action::Continue,
            epoch: state.epoch,
            stage: state.stage,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            stable_requests: observed.stable.requests,
            candidate_requests: observed.candidate.requests,
            findings: Vec::new(),
            reason,
        }
    }
}
