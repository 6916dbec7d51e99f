//! From windows to figures with their uncertainty.
//!
//! Neighbouring requests influence each other (a slow one delays the next), so single requests
//! are no independent samples; windows nearly are. Intervals are block bootstraps over windows:
//! as many windows are drawn again, with replacement, a thousand times, and the middle 95 % of
//! what comes out is the interval. It says how far the same measurement repeated in the same
//! minutes would agree, not what another machine or another hour would give.

use std::time::Duration;

use super::histogram::{Histogram, quantile_of};
use super::random::Random;
use super::recorder::Window;

/// Draws for each interval.
const DRAWS: usize = 1000;
/// Share of the draws inside an interval.
const CONFIDENCE: f64 = 0.95;
/// The percentiles that are reported.
pub(crate) const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A figure and the interval around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Estimate {
    /// From all windows.
    pub(crate) value: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// Good answers a second.
pub(crate) fn rate(counts: &[u64], window: Duration, random: &mut Random) -> Estimate {
    let seconds = window.as_secs_f64();
    let mean = |sum: u64| sum as f64 / (counts.len().max(1) as f64 * seconds);
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| mean(counts.iter().map(|_| counts[random.below(counts.len())]).sum()))
        .collect();
    estimate(mean(counts.iter().sum()), &mut draws)
}

/// Each of [`QUANTILES`] in microseconds, over all windows.
pub(crate) fn quantiles(windows: &[&Histogram], random: &mut Random) -> [Estimate; 4] {
    let mut all = Histogram::default();
    for window in windows {
        all.add(window);
    }
    // Sparse counts over the buckets in use: a draw adds only those.
    let values: Vec<u64> = all.filled().map(|(value, _)| value).collect();
    let sparse: Vec<Vec<(usize, u64)>> =
        windows.iter().map(|window| by_position(window, &values)).collect();
    let mut draws = [const { Vec::new() }; 4];
    let mut counts = vec![0u64; values.len()];
    for _ in 0..DRAWS {
        counts.fill(0);
        let mut total = 0;
        for _ in 0..windows.len() {
            let drawn = random.below(windows.len());
            total += windows[drawn].len();
            for (position, count) in &sparse[drawn] {
                counts[*position] += count;
            }
        }
        let counted = || values.iter().copied().zip(counts.iter().copied());
        for ((_, quantile), draws) in QUANTILES.iter().zip(&mut draws) {
            draws.push(
                quantile_of(counted().filter(|(_, count)| *count > 0), total, *quantile) as f64
                    / 1e3,
            );
        }
    }
    let mut draws = draws.into_iter();
    QUANTILES.map(|(_, quantile)| {
        let value = all.quantile(quantile).as_nanos() as f64 / 1e3;
        estimate(value, &mut draws.next().unwrap_or_default())
    })
}

fn by_position(window: &Histogram, values: &[u64]) -> Vec<(usize, u64)> {
    let position = |(value, count)| Some((values.binary_search(&value).ok()?, count));
    window.filled().filter_map(position).collect()
}

fn estimate(value: f64, draws: &mut [f64]) -> Estimate {
    draws.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * draws.len() as f64) as usize;
        draws.get(index.min(draws.len().saturating_sub(1))).copied().unwrap_or(value)
    };
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Estimate { value, low: at(tail).min(value), high: at(1.0 - tail).max(value) }
}

/// All windows in one.
pub(crate) fn merged<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Window {
    let mut all = Window::default();
    for window in windows {
        all.add(window);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_windows_leave_no_doubt_and_unsteady_ones_do() {
        let mut random = Random::new(5);
        let steady = rate(&[100; 20], Duration::from_millis(100), &mut random);
        assert_eq!(steady, Estimate { value: 1000.0, low: 1000.0, high: 1000.0 });
        let unsteady: Vec<u64> = (0..20).map(|window| 50 + 100 * (window % 2)).collect();
        let unsteady = rate(&unsteady, Duration::from_millis(100), &mut random);
        // The standard error of this mean is 500 / sqrt(20) = 112; two of it each way.
        assert!((unsteady.high - unsteady.low - 4.0 * 112.0).abs() < 60.0, "{unsteady:?}");
        assert_eq!(unsteady.value, 1000.0);
    }

    #[test]
    fn a_percentile_of_all_windows_lies_in_its_interval() {
        let windows: Vec<Histogram> = (0..10)
            .map(|window| {
                let mut histogram = Histogram::default();
                for request in 0..1000 {
                    histogram.record(Duration::from_micros(100 + window * 10 + request % 10));
                }
                histogram
            })
            .collect();
        let windows: Vec<&Histogram> = windows.iter().collect();
        let found = quantiles(&windows, &mut Random::new(1));
        assert!((found[0].value - 149.0).abs() < 2.0, "{found:?}");
        assert!(found.iter().all(|p| p.low <= p.value && p.value <= p.high));
        assert!(found[0].high - found[0].low > 10.0, "{found:?}");
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert_eq!(quantiles(&[], &mut Random::new(1))[0].value, 0.0);
        assert_eq!(rate(&[], Duration::from_secs(1), &mut Random::new(1)).value, 0.0);
    }
}
