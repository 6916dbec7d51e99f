//! A histogram of durations that many threads write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::HistogramSnapshot;

/// Upper bounds in microseconds: 1-2.5-5 steps from 10 us to 10 s, as Prometheus users expect.
const BOUNDS_US: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Counts by bucket (the last for all above the bounds) and the sum.
#[derive(Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    pub(super) fn record(&self, time: Duration) {
        let ns = time.as_nanos() as u64;
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < ns);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// Adds these figures to a snapshot.
    pub(super) fn add_to(&self, snapshot: &mut HistogramSnapshot) {
        if snapshot.buckets.is_empty() {
            let bound = |us: &u64| (Duration::from_micros(*us), 0);
            snapshot.buckets = BOUNDS_US.iter().map(bound).collect();
        }
        let mut below = 0;
        for (bucket, (_, count)) in self.buckets.iter().zip(&mut snapshot.buckets) {
            below += bucket.load(Relaxed);
            *count += below;
        }
        snapshot.count += below + self.buckets[BOUNDS_US.len()].load(Relaxed);
        snapshot.sum += Duration::from_nanos(self.sum_ns.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let histogram = Histogram::default();
        for us in [10, 11, 25, 20_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let mut snapshot = HistogramSnapshot::default();
        histogram.add_to(&mut snapshot);
        assert_eq!(snapshot.buckets[0], (Duration::from_micros(10), 1));
        assert_eq!(snapshot.buckets[1], (Duration::from_micros(25), 3));
        assert_eq!(snapshot.buckets[18].1, 3);
        assert_eq!(snapshot.count, 4);
        assert_eq!(snapshot.sum, Duration::from_micros(20_000_046));
    }
}
