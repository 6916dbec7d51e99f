//! Latencies, counted in buckets whose width grows with the value.
//!
//! Like HdrHistogram: 128 linear buckets for each power of two, so that any value is known to
//! within 0.8 %, recording costs a few nanoseconds and never allocates, and histograms add up.

use std::time::Duration;

/// Linear buckets for each power of two.
const LINEAR: u64 = 128;
/// Powers of two that need buckets of their own: values below [`LINEAR`] are exact.
const POWERS: usize = 58;

/// Counts of durations, with nanoseconds as the unit.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = vec![0; POWERS * LINEAR as usize].into_boxed_slice();
        Histogram { counts, total: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds everything that `other` counted.
    pub(crate) fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub(crate) fn len(&self) -> u64 {
        self.total
    }

    /// The longest one, exactly.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The mean, exactly.
    pub(crate) fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The duration that a share of `quantile` (0 to 1) of all does not exceed; zero when empty.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        let found = quantile_of(self.filled(), self.total, quantile);
        Duration::from_nanos(found.min(self.max))
    }

    /// The buckets that hold anything: the value they stand for, and the count.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (u64, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(index, count)| (middle(index), *count))
    }
}

/// The value at `quantile` among counted values in rising order; 0 when there are none.
pub(crate) fn quantile_of(
    counted: impl Iterator<Item = (u64, u64)>,
    total: u64,
    quantile: f64,
) -> u64 {
    let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    let mut last = 0;
    for (value, count) in counted {
        seen += count;
        last = value;
        if seen >= rank {
            break;
        }
    }
    last
}

fn bucket(value: u64) -> usize {
    if value < LINEAR {
        return value as usize;
    }
    let shift = u64::from(value.ilog2() - LINEAR.ilog2());
    ((shift + 1) * LINEAR + (value >> shift) - LINEAR) as usize
}

/// The middle of a bucket.
fn middle(index: usize) -> u64 {
    let (power, linear) = (index as u64 / LINEAR, index as u64 % LINEAR);
    match power.checked_sub(1) {
        None => linear,
        Some(shift) => ((LINEAR + linear) << shift) + (1 << shift) / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_is_known_within_a_percent(value: u64) {
            let found = middle(bucket(value)) as f64;
            prop_assert!((found - value as f64).abs() <= value as f64 * 0.008);
        }

        #[test]
        fn quantiles_agree_with_sorting(mut values in prop::collection::vec(0u64..1 << 40, 1..300)) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.record(Duration::from_nanos(*value));
            }
            values.sort_unstable();
            for quantile in [0.5, 0.9, 0.99, 1.0] {
                let rank = (quantile * values.len() as f64).ceil() as usize;
                let expected = values[rank - 1] as f64;
                let found = histogram.quantile(quantile).as_nanos() as f64;
                prop_assert!((found - expected).abs() <= expected * 0.008, "{found} {expected}");
            }
        }
    }

    #[test]
    fn adding_is_counting_both() {
        let (mut left, mut right) = (Histogram::default(), Histogram::default());
        left.record(Duration::from_micros(10));
        right.record(Duration::from_micros(30));
        left.add(&right);
        assert_eq!((left.len(), left.max()), (2, Duration::from_micros(30)));
        assert_eq!(left.mean(), Duration::from_micros(20));
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }
}
