//! What running the model costs, learned from running it.
//!
//! Two decisions hang on it: how many rows a batch should have (only as many as pay), and
//! whether a request is cheaper to run at once on the caller's thread than to hand over.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Batch sizes are learned in doublings: 1, 2, 4, ... 1024.
const SIZES: usize = 11;
/// Runs of one size before its figure is believed.
const ENOUGH: u32 = 4;
/// After so many runs of a size, the next larger ones are tried again: load changes costs.
const FORGET_AFTER: u32 = 2048;
/// A larger batch must cost at most this share a row to count as a gain; a costly one less, since
/// it also takes memory and delays those in it.
const GAIN: f32 = 0.9;
const COSTLY_GAIN: f32 = 0.85;
/// Least weight of a new observation.
const WEIGHT: f32 = 0.15;
/// One in so many batches is half as large as pays best, to keep what that is compared with fresh.
const COMPARE_EVERY: u32 = 32;
/// Rows that cost more, in nanoseconds, get one try at a larger batch, cheaper ones two.
const COSTLY_ROW_NS: f32 = 1e6;

/// The cost of one model for requests of one size class. Lock-free; lost updates do no harm.
#[derive(Default)]
pub(crate) struct CostModel {
    /// Nanoseconds a row by batch-size class, as the bits of an `f32`; 0 while unknown.
    row_ns: [AtomicU32; SIZES],
    samples: [AtomicU32; SIZES],
}

impl CostModel {
    /// Takes note of a run on one thread.
    pub(crate) fn record(&self, rows: usize, time: Duration) {
        let class = class_of(rows);
        let observed = (time.as_nanos() as f32 / rows.max(1) as f32).max(1.0);
        let samples = self.samples[class].load(Relaxed).saturating_add(1);
        let next = match (self.row(class), samples) {
            (Some(known), 3..) => {
                let weight = WEIGHT.max(1.0 / (samples - 1) as f32);
                // One preempted run must not make a size look expensive for long.
                known + weight * (observed.min(known * 3.0) - known)
            }
            // The first run of a size sets things up: it counts only until the second.
            _ => observed,
        };
        self.row_ns[class].store(next.to_bits(), Relaxed);
        self.samples[class].store(samples, Relaxed);
        if samples.is_multiple_of(FORGET_AFTER) {
            for larger in self.samples.iter().skip(class + 1).take(2) {
                larger.store(0, Relaxed);
            }
        }
    }

    /// What a run of `rows` rows costs, judged by the nearest size that was seen.
    pub(crate) fn run_cost(&self, rows: usize) -> Option<Duration> {
        let wanted = class_of(rows);
        let nearest = (0..SIZES)
            .filter_map(|class| Some((class.abs_diff(wanted), self.row(class)?)))
            .min_by_key(|(distance, _)| *distance)?;
        Some(Duration::from_nanos((nearest.1 * rows.max(1) as f32) as u64))
    }

    /// How many rows a batch should have at most: the size with the lowest cost a row, or the
    /// next doubling as long as the figures do not yet say that it fails to pay.
    pub(crate) fn batch_limit(&self, max: usize) -> usize {
        let Some(mut lowest) = self.row(0).filter(|_| self.believed(0)) else { return 1 };
        let (tries, gain) = if lowest > COSTLY_ROW_NS { (1, COSTLY_GAIN) } else { (2, GAIN) };
        let mut best = 1;
        let mut without_gain = 0;
        for class in 1..SIZES {
            let size = 1 << class;
            if size / 2 >= max || without_gain == tries {
                break;
            }
            let size = size.min(max);
            match self.row(class) {
                Some(row) if self.believed(class) => {
                    if row < lowest * gain {
                        (best, lowest, without_gain) = (size, row, 0);
                    } else {
                        without_gain += 1;
                    }
                }
                _ => return size,
            }
        }
        if self.is_to_compare(best) { best / 2 } else { best }
    }

    /// Whether the next batch should have half of `best` rows. Under load no smaller ones come by
    /// themselves, and a figure from quieter times would make the larger size look cheap for ever.
    fn is_to_compare(&self, best: usize) -> bool {
        let class = class_of(best);
        let runs = |class: usize| self.samples[class].load(Relaxed);
        best > 1 && (runs(class) + runs(class - 1)).is_multiple_of(COMPARE_EVERY)
    }

    fn row(&self, class: usize) -> Option<f32> {
        let bits = self.row_ns[class].load(Relaxed);
        (bits != 0).then(|| f32::from_bits(bits))
    }

    fn believed(&self, class: usize) -> bool {
        self.samples[class].load(Relaxed) >= ENOUGH
    }
}

/// The doubling nearest below or at `rows`.
fn class_of(rows: usize) -> usize {
    (rows.max(1).ilog2() as usize).min(SIZES - 1)
}

/// The size class of a request: requests whose rows have about as many bytes cost about the same.
pub(crate) fn size_class(bytes_per_row: usize) -> usize {
    (bytes_per_row.max(1).ilog2() as usize).min(SIZE_CLASSES - 1)
}

/// CPU time of this thread so far.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Number of size classes: the last takes rows of 4 GiB and more.
pub(crate) const SIZE_CLASSES: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(model: &CostModel, runs: usize, cost_us: impl Fn(usize) -> f64, max: usize) -> usize {
        for _ in 0..runs {
            let rows = model.batch_limit(max);
            model.record(rows, Duration::from_nanos((cost_us(rows) * 1e3) as u64));
        }
        // One in so many is for comparison only.
        model.batch_limit(max).max({
            let rows = model.batch_limit(max);
            model.record(rows, Duration::from_nanos((cost_us(rows) * 1e3) as u64));
            model.batch_limit(max)
        })
    }

    fn learned(cost_us: impl Fn(usize) -> f64, max: usize) -> (CostModel, usize) {
        let model = CostModel::default();
        let limit = run(&model, 200, cost_us, max);
        (model, limit)
    }

    #[test]
    fn a_size_that_looked_cheap_beside_an_old_figure_is_left_again() {
        let model = CostModel::default();
        // Single rows were dear while the model was new; batches never were cheaper.
        (0..8).for_each(|_| model.record(1, Duration::from_millis(15)));
        let limit = run(&model, 400, |rows| 10_000.0 * rows as f64, 128);
        assert_eq!(limit, 1);
    }

    #[test]
    fn a_model_that_gains_nothing_is_not_batched() {
        assert_eq!(learned(|rows| 4500.0 * rows as f64, 128).1, 1);
    }

    #[test]
    fn a_model_bound_by_its_weights_is_batched_fully() {
        assert_eq!(learned(|rows| 9000.0 + 60.0 * rows as f64, 64).1, 64);
        assert_eq!(learned(|rows| 9000.0 + 60.0 * rows as f64, 100).1, 100);
    }

    #[test]
    fn batching_stops_where_it_stops_paying() {
        let cost = |rows: usize| {
            100.0 * rows.min(8) as f64 / 2.0
                + 150.0 * rows as f64 / 8.0
                + if rows > 8 { 400.0 * (rows - 8) as f64 } else { 0.0 }
        };
        let (_, limit) = learned(cost, 128);
        assert!(limit <= 16, "limit {limit}");
    }

    #[test]
    fn one_slow_run_does_not_spoil_a_size() {
        let (model, limit) = learned(|rows| 1000.0 + 10.0 * rows as f64, 16);
        assert_eq!(limit, 16);
        model.record(16, Duration::from_millis(500));
        assert_eq!(model.batch_limit(16), 16);
    }

    #[test]
    fn cost_of_unseen_sizes_is_judged_by_the_nearest() {
        let model = CostModel::default();
        assert_eq!(model.run_cost(1), None);
        model.record(4, Duration::from_micros(40));
        assert_eq!(model.run_cost(8), Some(Duration::from_micros(80)));
    }
}
