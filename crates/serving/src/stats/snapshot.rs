//! The figures of one version as others read them.

use std::time::Duration;

/// The stages of a request that are timed by model and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decoding the wire (recorded by the adapter).
    Parse,
    /// Waiting for an instance.
    Queue,
    /// Gathering, running, splitting.
    Compute,
    /// Encoding the answer (recorded by the adapter).
    Encode,
    /// From the first byte read to the answer handed over (recorded by the adapter).
    Request,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 5] =
        [Stage::Parse, Stage::Queue, Stage::Compute, Stage::Encode, Stage::Request];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Parse => "parse",
            Stage::Queue => "queue",
            Stage::Compute => "compute",
            Stage::Encode => "encode",
            Stage::Request => "request",
        }
    }
}

/// Why a request failed, in Triton's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// Refused: queue full, deadline, draining.
    Rejected,
    /// The caller went away.
    Canceled,
    /// The engine failed.
    Backend,
    /// Anything else, such as wrong input.
    Other,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [FailureReason; 4] = [
        FailureReason::Rejected,
        FailureReason::Canceled,
        FailureReason::Backend,
        FailureReason::Other,
    ];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            FailureReason::Rejected => "REJECTED",
            FailureReason::Canceled => "CANCELED",
            FailureReason::Backend => "BACKEND",
            FailureReason::Other => "OTHER",
        }
    }
}

/// How often, and how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountAndTime {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub time: Duration,
}

/// What batches of one size cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchStats {
    /// Rows.
    pub batch_size: usize,
    /// Gathering inputs.
    pub compute_input: CountAndTime,
    /// Running the engine.
    pub compute_infer: CountAndTime,
    /// Splitting outputs.
    pub compute_output: CountAndTime,
}

/// A histogram of durations at one moment.
#[derive(Clone, Debug, Default)]
pub struct HistogramSnapshot {
    /// Upper bounds and the number of observations at or below each (cumulative), ascending;
    /// the observations above the last bound are in `count` only.
    pub buckets: Vec<(Duration, u64)>,
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

/// The figures of one version at one moment.
#[derive(Clone, Debug, Default)]
pub struct StatsSnapshot {
    /// When the last inference ended, in milliseconds since the Unix epoch; 0 for never.
    pub last_inference_ms: u64,
    /// Rows inferred.
    pub inference_count: u64,
    /// Batches run.
    pub execution_count: u64,
    /// Requests answered.
    pub success: CountAndTime,
    /// Requests failed, by [`FailureReason::ALL`].
    pub failures: [CountAndTime; 4],
    /// Waiting.
    pub queue: CountAndTime,
    /// Gathering inputs.
    pub compute_input: CountAndTime,
    /// Running the engine.
    pub compute_infer: CountAndTime,
    /// Splitting outputs.
    pub compute_output: CountAndTime,
    /// By batch size, ascending, sizes that occurred only.
    pub batches: Vec<BatchStats>,
    /// Requests waiting now.
    pub pending: u64,
    /// Histograms by [`Stage::ALL`].
    pub stages: Vec<HistogramSnapshot>,
}
