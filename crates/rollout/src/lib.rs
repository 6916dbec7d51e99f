//! Rollouts: which version answers, and when a candidate gets more traffic or none.
//!
//! Pure: no I/O, no clock, no random numbers. Time is a [`Timestamp`] and a draw is a number that
//! the caller passes in, so every decision can be replayed from what was stored.
//!
//! ```text
//! request ─Split::pick→ version ─counts→ Observations ─judge→ Decision ─State::apply→ State ─split→ Split
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `weight` | [`BasisPoints`]: a share of traffic |
//! | `split` | [`Split`]: traffic by version, by draw or sticky by key |
//! | `hash` | the hash of sticky keys, which never changes |
//! | `plan` | [`Plan`]: shadow stage, steps, minimums, [`Thresholds`]; as text and as JSON |
//! | `observe` | [`Observations`]: what was counted since a stage began |
//! | `histogram` | [`LatencyHistogram`]: latencies in fixed, log-spaced buckets |
//! | `compare` | [`compare_tensors`]: how far two answers are apart |
//! | `drift` | [`Drift`]: such differences added up |
//! | `evidence` | tests that may be looked at after every request |
//! | `judge` | [`judge()`]: observations in, [`Decision`] out |
//! | `state` | [`State`]: where a rollout stands, and its transitions |

mod compare;
mod drift;
mod evidence;
mod hash;
mod histogram;
mod judge;
mod observe;
mod plan;
mod split;
mod state;
mod weight;

pub use compare::{Difference, compare_tensors, compare_values};
pub use drift::Drift;
pub use histogram::{BUCKETS, BUCKETS_PER_OCTAVE, LatencyHistogram, bucket_of};
pub use judge::{Action, Decision, Finding, Subject, judge};
pub use observe::{Metric, Observations, VersionFigures};
pub use plan::{MAX_STEPS, MetricLimit, Plan, PlanError, Step, Thresholds};
pub use split::{MAX_VERSIONS, Split, SplitError};
pub use state::{Active, ApplyError, Event, Stage, State, Timestamp};
pub use weight::{BasisPoints, WeightError};
