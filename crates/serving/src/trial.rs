//! What becomes of the requests that a rollout gives to its versions.
//!
//! A stage of a rollout has a trial of its own: counts begin at zero with it, and requests that
//! were under way before count for the stage that routed them. Recording takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use modelyard_rollout::{
    BUCKETS, BasisPoints, Difference, Drift, LatencyHistogram, Observations, VersionFigures,
    bucket_of,
};
use parking_lot::Mutex;

use crate::{ErrorCode, Version};

/// A candidate beside the version that answered before, watched in one stage.
pub struct Trial {
    candidate: u64,
    /// The share of requests to the stable version that are copied to the candidate.
    copied: BasisPoints,
    stable: Arm,
    tried: Arm,
    drift: Mutex<Drift>,
    shed: AtomicU64,
}

/// The figures of one side.
struct Arm {
    requests: AtomicU64,
    errors: AtomicU64,
    latencies: [AtomicU64; BUCKETS],
}

/// Where a request counts.
#[derive(Clone)]
pub(crate) enum Place {
    /// For the stable version.
    Stable(Arc<Trial>),
    /// For the candidate.
    Candidate(Arc<Trial>),
    /// Nowhere, but a copy goes to this candidate and counts there.
    Copied(Arc<Trial>, Arc<Version>),
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trial(version {})", self.candidate)
    }
}

impl Trial {
    /// A trial of a candidate. `copied` is the share of the other version's requests that are
    /// copied to it; none but in a shadow stage.
    pub fn new(candidate: u64, copied: BasisPoints) -> Self {
        Trial {
            candidate,
            copied,
            stable: Arm::default(),
            tried: Arm::default(),
            drift: Mutex::default(),
            shed: AtomicU64::new(0),
        }
    }

    /// What was counted so far. In a shadow stage the stable version's figures are those of the
    /// requests that were not copied.
    pub fn observations(&self) -> Observations {
        Observations {
            stable: self.stable.figures(),
            candidate: self.tried.figures(),
            drift: *self.drift.lock(),
            metrics: Vec::new(),
        }
    }

    /// Copies that were not made, as there was no room for them.
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    pub(crate) fn candidate(&self) -> u64 {
        self.candidate
    }

    /// Where a request counts that goes to this version. `candidate` is loaded.
    pub(crate) fn place(self: &Arc<Self>, version: u64, candidate: Option<&Arc<Version>>) -> Place {
        match candidate {
            _ if version == self.candidate => Place::Candidate(self.clone()),
            Some(candidate) if self.draws_copy() => Place::Copied(self.clone(), candidate.clone()),
            _ => Place::Stable(self.clone()),
        }
    }

    fn draws_copy(&self) -> bool {
        self.copied != BasisPoints::NONE && fastrand::u16(..10_000) < self.copied.get()
    }

    /// Counts what became of a copy: its own outcome, and how far it was from the answer.
    pub(crate) fn record_copy(&self, outcome: Result<Difference, ErrorCode>, latency: Duration) {
        self.tried.record(outcome.as_ref().err().copied(), latency);
        if let Ok(difference) = outcome {
            self.drift.lock().record(&difference);
        }
    }

    pub(crate) fn record_shed(&self) {
        self.shed.fetch_add(1, Relaxed);
    }
}

impl Place {
    /// Counts a request.
    pub(crate) fn record(&self, error: Option<ErrorCode>, latency: Duration) {
        match self {
            Place::Stable(trial) => trial.stable.record(error, latency),
            Place::Candidate(trial) => trial.tried.record(error, latency),
            Place::Copied(..) => {}
        }
    }
}

impl Default for Arm {
    fn default() -> Self {
        Arm {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            latencies: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Arm {
    /// A request that its caller gave up says nothing. All other failures count, bad inputs too:
    /// both sides get as many of them, unless one of them is wrong to refuse.
    fn record(&self, error: Option<ErrorCode>, latency: Duration) {
        match error {
            Some(ErrorCode::Cancelled) => return,
            Some(_) => drop(self.errors.fetch_add(1, Relaxed)),
            None => drop(self.latencies[bucket_of(latency)].fetch_add(1, Relaxed)),
        }
        self.requests.fetch_add(1, Relaxed);
    }

    fn figures(&self) -> VersionFigures {
        // Errors first: there are never more of them than requests.
        let errors = self.errors.load(Relaxed);
        let mut latency = LatencyHistogram::new();
        for (bucket, count) in self.latencies.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                latency.add(bucket, count);
            }
        }
        VersionFigures { requests: self.requests.load(Relaxed), errors, latency }
    }
}
