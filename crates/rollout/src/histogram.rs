//! Latencies in fixed, log-spaced buckets.
//!
//! All histograms share their bounds, so they can be added, subtracted and compared bucket by
//! bucket whoever recorded them. Eight buckets double the latency: a quantile read from them is
//! right within 4.5 %.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets that double the latency.
pub const BUCKETS_PER_OCTAVE: usize = 8;
/// The lowest bound: what is faster is counted as this fast.
const LOWEST_NS: f64 = 8_000.0;
/// From 8 µs to 134 s.
const OCTAVES: usize = 24;
/// All buckets; the last one counts everything above the highest bound.
pub const BUCKETS: usize = OCTAVES * BUCKETS_PER_OCTAVE + 1;

/// Counts of requests by latency; bucket `i` holds those above bound `i - 1` and up to bound `i`,
/// where bound `i` is 8 µs · 2^(i/8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u8, u64)>", into = "Vec<(u8, u64)>")]
pub struct LatencyHistogram {
    /// As long as the highest bucket that counts anything; never longer than `BUCKETS`.
    counts: Vec<u64>,
}

impl LatencyHistogram {
    /// A histogram of nothing.
    pub fn new() -> Self {
        LatencyHistogram::default()
    }

    /// Counts one request.
    pub fn record(&mut self, latency: Duration) {
        self.add(bucket_of(latency), 1);
    }

    /// Counts `count` requests of bucket `bucket`, the last bucket if there is no such.
    pub fn add(&mut self, bucket: usize, count: u64) {
        let bucket = bucket.min(BUCKETS - 1);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    /// Adds everything another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, &count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.add(bucket, count);
        }
    }

    /// What was counted since `earlier`; a bucket that shrank (a restart) counts as empty.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        for (count, before) in counts.iter_mut().zip(&earlier.counts) {
            *count = count.saturating_sub(*before);
        }
        LatencyHistogram { counts }
    }

    /// How many requests were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// The latency that a share of `quantile` (0 to 1) of requests did not exceed, interpolated
    /// within its bucket; `None` of nothing.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = (quantile.clamp(0.0, 1.0) * total as f64).max(f64::MIN_POSITIVE);
        let mut below = 0.0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(at(bucket as f64 - 1.0 + (rank - below) / count));
            }
            below += count;
        }
        Some(bound(BUCKETS - 1))
    }

    /// For every bound, how many requests were slower.
    pub(crate) fn slower_than_bounds(&self) -> [u64; BUCKETS] {
        let mut slower = [0u64; BUCKETS];
        for bucket in (0..self.counts.len().saturating_sub(1)).rev() {
            slower[bucket] = slower[bucket + 1].saturating_add(self.counts[bucket + 1]);
        }
        slower
    }
}

/// The bucket that counts a latency.
pub fn bucket_of(latency: Duration) -> usize {
    let octaves = (latency.as_nanos() as f64 / LOWEST_NS).log2();
    // A cast of a negative float or of -inf gives 0.
    ((octaves * BUCKETS_PER_OCTAVE as f64).ceil() as usize).min(BUCKETS - 1)
}

/// The upper bound of a bucket.
pub(crate) fn bound(bucket: usize) -> Duration {
    at(bucket as f64)
}

fn at(position: f64) -> Duration {
    Duration::from_nanos((LOWEST_NS * (position / BUCKETS_PER_OCTAVE as f64).exp2()) as u64)
}

impl From<LatencyHistogram> for Vec<(u8, u64)> {
    fn from(histogram: LatencyHistogram) -> Self {
        let counted = histogram.counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
        counted.map(|(bucket, count)| (bucket as u8, count)).collect()
    }
}

impl From<Vec<(u8, u64)>> for LatencyHistogram {
    fn from(counted: Vec<(u8, u64)>) -> Self {
        let mut histogram = LatencyHistogram::new();
        for (bucket, count) in counted {
            histogram.add(bucket.into(), count);
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        micros.into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn bounds_are_inclusive_and_ends_are_open() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(bound(bucket) - Duration::from_nanos(1)), bucket);
            assert_eq!(bucket_of(bound(bucket) + Duration::from_nanos(2)), bucket + 1);
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_right_within_half_a_bucket() {
        let histogram = of(1..=100_000);
        for (quantile, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.01, 1_000.0)] {
            let found = histogram.quantile(quantile).unwrap().as_micros() as f64;
            assert!((found / exact - 1.0).abs() < 0.045, "{quantile}: {found}");
        }
        assert_eq!(LatencyHistogram::new().quantile(0.5), None);
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let (before, after) = (of([100, 200]), of([300, 400, 50_000]));
        let mut both = before.clone();
        both.merge(&after);
        assert_eq!(both.since(&before).total(), 3);
        assert_eq!(both.since(&before).quantile(1.0), after.quantile(1.0));
        assert_eq!(before.since(&both).total(), 0, "a restart counts nothing");
    }

    #[test]
    fn slower_counts_go_down_to_none() {
        let slower = of([10, 20, 5_000_000]).slower_than_bounds();
        assert_eq!(slower[0], 3);
        assert_eq!(slower[bucket_of(Duration::from_micros(20))], 1);
        assert_eq!(slower[BUCKETS - 1], 0);
    }

    #[test]
    fn stored_form_names_full_buckets_only() {
        let json = serde_json::to_string(&of([8, 16, 16])).unwrap();
        assert_eq!(json, "[[0,1],[8,2]]");
        assert_eq!(serde_json::from_str::<LatencyHistogram>(&json).unwrap(), of([8, 16, 16]));
        let odd: LatencyHistogram = serde_json::from_str("[[255,1]]").unwrap();
        assert_eq!(odd.total(), 1);
    }
}
