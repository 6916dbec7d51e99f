//! What one version has done so far.
//!
//! Recording is on every request's path, so it takes no lock and shares no cache line between
//! threads: each thread writes its own shard, and who reads adds the shards up.

mod histogram;
mod snapshot;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use histogram::Histogram;
pub use snapshot::{
    BatchStats, CountAndTime, FailureReason, HistogramSnapshot, Stage, StatsSnapshot,
};

use crate::batch::BatchTimes;

/// Threads beyond this many share shards.
const SHARDS: usize = 16;
/// Batch sizes from here on are counted together.
const BATCH_SIZES: usize = 129;

/// The figures of one version. Recording takes no lock.
pub struct VersionStats {
    shards: Box<[Shard]>,
}

/// The figures of one thread, on cache lines of their own.
#[repr(align(128))]
struct Shard {
    last_inference_ms: AtomicU64,
    success: Tally,
    failures: [Tally; 4],
    queue: Tally,
    stages: [Histogram; 5],
    batches: Box<[BatchCell]>,
}

/// A count and a sum of nanoseconds.
#[derive(Default)]
struct Tally {
    count: AtomicU64,
    ns: AtomicU64,
}

/// The batches of one size.
#[derive(Default)]
struct BatchCell {
    rows: AtomicU64,
    runs: AtomicU64,
    input_ns: AtomicU64,
    infer_ns: AtomicU64,
    output_ns: AtomicU64,
}

impl Default for VersionStats {
    fn default() -> Self {
        let shards = std::thread::available_parallelism().map_or(1, usize::from) * 2;
        VersionStats { shards: (0..shards.clamp(2, SHARDS)).map(|_| Shard::default()).collect() }
    }
}

impl Default for Shard {
    fn default() -> Self {
        Shard {
            last_inference_ms: AtomicU64::default(),
            success: Tally::default(),
            failures: Default::default(),
            queue: Tally::default(),
            stages: Default::default(),
            batches: (0..BATCH_SIZES).map(|_| BatchCell::default()).collect(),
        }
    }
}

impl VersionStats {
    /// Records how long a stage of one request took.
    pub fn record_stage(&self, stage: Stage, time: Duration) {
        self.shard().stages[stage as usize].record(time);
    }

    /// Records a request that failed, wherever it did.
    pub fn record_failure(&self, reason: FailureReason, time: Duration) {
        self.shard().failures[reason as usize].add(time);
    }

    /// Records a request that was answered: how long it waited, computed, took in all.
    pub(crate) fn record_success(&self, queue: Duration, compute: Duration, total: Duration) {
        let shard = self.shard();
        shard.success.add(total);
        shard.queue.add(queue);
        shard.stages[Stage::Queue as usize].record(queue);
        shard.stages[Stage::Compute as usize].record(compute);
    }

    /// Records one batch.
    pub(crate) fn record_batch(&self, rows: usize, times: BatchTimes) {
        let shard = self.shard();
        let cell = &shard.batches[rows.min(BATCH_SIZES - 1)];
        cell.rows.fetch_add(rows as u64, Relaxed);
        cell.runs.fetch_add(1, Relaxed);
        cell.input_ns.fetch_add(times.input.as_nanos() as u64, Relaxed);
        cell.infer_ns.fetch_add(times.infer.as_nanos() as u64, Relaxed);
        cell.output_ns.fetch_add(times.output.as_nanos() as u64, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        shard.last_inference_ms.store(now.as_millis() as u64, Relaxed);
    }

    /// When a batch last ran, in milliseconds since 1970; 0 for never.
    pub(crate) fn last_inference_ms(&self) -> u64 {
        let shards = self.shards.iter();
        shards.map(|shard| shard.last_inference_ms.load(Relaxed)).max().unwrap_or(0)
    }

    /// The figures now; `pending` is filled in by the version, which knows its queue.
    pub(crate) fn snapshot(&self, pending: usize) -> StatsSnapshot {
        let mut sum = StatsSnapshot {
            pending: pending as u64,
            stages: vec![HistogramSnapshot::default(); Stage::ALL.len()],
            ..StatsSnapshot::default()
        };
        let mut batches: Vec<BatchStats> = (0..BATCH_SIZES).map(BatchStats::of_size).collect();
        for shard in &self.shards {
            sum.last_inference_ms =
                sum.last_inference_ms.max(shard.last_inference_ms.load(Relaxed));
            shard.success.add_to(&mut sum.success);
            shard.queue.add_to(&mut sum.queue);
            for (cell, failures) in shard.failures.iter().zip(&mut sum.failures) {
                cell.add_to(failures);
            }
            for (histogram, stage) in shard.stages.iter().zip(&mut sum.stages) {
                histogram.add_to(stage);
            }
            for (cell, batch) in shard.batches.iter().zip(&mut batches) {
                sum.inference_count += cell.rows.load(Relaxed);
                cell.add_to(batch);
            }
        }
        batches.retain(|batch| batch.compute_infer.count > 0);
        for batch in &batches {
            sum.execution_count += batch.compute_infer.count;
            sum.compute_input.add(batch.compute_input);
            sum.compute_infer.add(batch.compute_infer);
            sum.compute_output.add(batch.compute_output);
        }
        sum.batches = batches;
        sum
    }

    fn shard(&self) -> &Shard {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let mut index = INDEX.get();
        if index == usize::MAX {
            index = THREADS.fetch_add(1, Relaxed);
            INDEX.set(index);
        }
        &self.shards[index % self.shards.len()]
    }
}

impl Tally {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.ns.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    fn add_to(&self, sum: &mut CountAndTime) {
        let (count, ns) = (self.count.load(Relaxed), self.ns.load(Relaxed));
        sum.add(CountAndTime { count, time: Duration::from_nanos(ns) });
    }
}

impl BatchCell {
    fn add_to(&self, sum: &mut BatchStats) {
        let count = self.runs.load(Relaxed);
        let part =
            |ns: &AtomicU64| CountAndTime { count, time: Duration::from_nanos(ns.load(Relaxed)) };
        sum.compute_input.add(part(&self.input_ns));
        sum.compute_infer.add(part(&self.infer_ns));
        sum.compute_output.add(part(&self.output_ns));
    }
}

impl CountAndTime {
    fn add(&mut self, other: CountAndTime) {
        self.count += other.count;
        self.time += other.time;
    }
}

impl BatchStats {
    fn of_size(batch_size: usize) -> Self {
        BatchStats { batch_size, ..BatchStats::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let stats = VersionStats::default();
        let us = Duration::from_micros;
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let times = BatchTimes { input: us(1), infer: us(10), output: us(2) };
                    stats.record_batch(4, times);
                    stats.record_batch(1000, times);
                    stats.record_success(us(3), us(13), us(20));
                    stats.record_failure(FailureReason::Rejected, us(5));
                    stats.record_stage(Stage::Parse, us(7));
                });
            }
        });
        let sum = stats.snapshot(6);
        assert_eq!(sum.inference_count, 20 * 1004);
        assert_eq!(sum.execution_count, 40);
        assert_eq!(sum.success, CountAndTime { count: 20, time: us(400) });
        assert_eq!(sum.failures[0], CountAndTime { count: 20, time: us(100) });
        assert_eq!(sum.batches.len(), 2);
        assert_eq!(sum.batches[0].batch_size, 4);
        assert_eq!(sum.batches[0].compute_infer, CountAndTime { count: 20, time: us(200) });
        assert_eq!(sum.stages[Stage::Parse as usize].count, 20);
        assert_eq!(sum.pending, 6);
    }
}
