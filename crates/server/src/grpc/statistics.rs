//! The figures of a version as `ModelStatistics` answers them.

use modelyard_serving::{BatchStats, CountAndTime, Version};

use super::proto::{InferBatchStatistics, InferStatistics, ModelStatistics, StatisticDuration};

/// What `version` has done so far.
pub(super) fn proto(version: &Version) -> ModelStatistics {
    let figures = version.statistics();
    let failures = figures.failures.iter().fold(CountAndTime::default(), |all, failure| {
        CountAndTime { count: all.count + failure.count, time: all.time + failure.time }
    });
    ModelStatistics {
        name: version.model().to_owned(),
        version: version.number().to_string(),
        last_inference: figures.last_inference_ms,
        inference_count: figures.inference_count,
        execution_count: figures.execution_count,
        inference_stats: Some(InferStatistics {
            success: duration(figures.success),
            fail: duration(failures),
            queue: duration(figures.queue),
            compute_input: duration(figures.compute_input),
            compute_infer: duration(figures.compute_infer),
            compute_output: duration(figures.compute_output),
            cache_hit: duration(CountAndTime::default()),
            cache_miss: duration(CountAndTime::default()),
        }),
        batch_stats: figures.batches.iter().map(batch).collect(),
        ..ModelStatistics::default()
    }
}

fn batch(batch: &BatchStats) -> InferBatchStatistics {
    InferBatchStatistics {
        batch_size: batch.batch_size as u64,
        compute_input: duration(batch.compute_input),
        compute_infer: duration(batch.compute_infer),
        compute_output: duration(batch.compute_output),
    }
}

fn duration(figure: CountAndTime) -> Option<StatisticDuration> {
    let ns = u64::try_from(figure.time.as_nanos()).unwrap_or(u64::MAX);
    Some(StatisticDuration { count: figure.count, ns })
}
