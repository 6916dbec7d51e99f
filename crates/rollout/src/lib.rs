//! Rollouts: which version answers, and when a candidate gets more traffic or none.
//!
//! Pure: no I/O, no clock, no random numbers. Time is a [`Timestamp`] and a draw is a number that
//! the caller passes in, so every decision can be replayed from what was stored.
//!
//! | module | holds |
//! |---|---|
//! | `weight` | [`BasisPoints`]: a share of traffic |
//! | `split` | [`Split`]: traffic by version, by draw or sticky by key |
//! | `hash` | the hash of sticky keys, which never changes |

mod evidence;
mod hash;
mod histogram;
mod split;
mod weight;

pub use histogram::{BUCKETS_PER_OCTAVE, LatencyHistogram, bucket_of};
pub use split::{MAX_VERSIONS, Split, SplitError};
pub use weight::{BasisPoints, WeightError};
