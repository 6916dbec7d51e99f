//! The result: what was measured, how, and the figures. Its JSON form is what scripts read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::arrivals::Arrivals;
use super::measure::{Load, Sample};
use super::random::Random;
use super::summary::{self, Estimate, QUANTILES};

/// Everything about one run of the command.
#[derive(Serialize)]
pub(crate) struct Report {
    /// What was measured, as given.
    pub(crate) target: String,
    /// The protocol.
    pub(crate) protocol: &'static str,
    /// The model, where known.
    pub(crate) model: Option<String>,
    /// Bytes of a request on the wire (the mean, when they differ); 0 in process.
    pub(crate) request_bytes: usize,
    /// Length of each measurement.
    pub(crate) duration_s: f64,
    /// Warm-up before each measurement.
    pub(crate) warmup_s: f64,
    /// Measurements of each load, the loads taking turns.
    pub(crate) rounds: usize,
    /// Threads that generated load.
    pub(crate) load_threads: usize,
    /// Connections; 0 in process. Closed loop over HTTP: one a caller.
    pub(crate) connections: Option<usize>,
    /// How the figures come about.
    pub(crate) method: &'static str,
    /// One for each load.
    pub(crate) points: Vec<Point>,
}

/// How the figures come about, for readers of the JSON.
pub(crate) const METHOD: &str = "percentiles over all requests of all rounds; intervals: 95 % \
    block bootstrap over windows of a tenth of a round; open loop: latency from the intended send \
    time (free of coordinated omission); closed loop: from the send time, callers wait for their \
    answers";

/// The figures at one load.
#[derive(Serialize)]
pub(crate) struct Point {
    /// The load.
    pub(crate) load: LoadReport,
    /// Good answers a second.
    pub(crate) throughput: Estimate,
    /// The same, round by round.
    pub(crate) throughput_by_round: Vec<f64>,
    /// Rows in good answers, a second.
    pub(crate) rows_per_second: f64,
    /// Latency of good answers in microseconds, by percentile.
    pub(crate) latency_us: BTreeMap<&'static str, Estimate>,
    /// The mean latency.
    pub(crate) latency_mean_us: f64,
    /// The longest.
    pub(crate) latency_max_us: f64,
    /// Good answers.
    pub(crate) completed: u64,
    /// Refusals (429, 503 and their like).
    pub(crate) refused: Refused,
    /// Everything that went wrong, by kind, refusals included.
    pub(crate) failures: BTreeMap<String, u64>,
    /// How much later than intended requests were sent: large when the callers are too few for
    /// the rate or the generator is short of CPU.
    pub(crate) send_lag_p99_us: f64,
    /// CPU time of the server (with `--pid`) for a good answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_us: Option<f64>,
    /// The same, round by round.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) server_cpu_us_by_round: Vec<f64>,
    /// CPU time of the generator for a good answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generator_cpu_us: Option<f64>,
}

/// Requests that were refused.
#[derive(Serialize)]
pub(crate) struct Refused {
    /// How many.
    pub(crate) count: u64,
    /// How fast: a server in trouble must say so at once.
    pub(crate) p50_us: f64,
    /// The slow ones.
    pub(crate) p99_us: f64,
    /// The slowest.
    pub(crate) max_us: f64,
}

/// A load as JSON says it.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum LoadReport {
    /// Callers that each wait for their answer.
    Closed {
        /// How many.
        concurrency: usize,
    },
    /// Requests at given times.
    Open {
        /// Requests a second.
        rate: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
}

impl Point {
    /// Sums up the rounds at one load.
    pub(crate) fn new(load: Load, samples: &[Sample], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let windows: Vec<_> = samples.iter().flat_map(|sample| &sample.recorder.windows).collect();
        let all = summary::merged(windows.iter().copied());
        let counts: Vec<u64> = windows.iter().map(|window| window.completed).collect();
        let length = samples.first().map_or(Duration::ZERO, |sample| sample.window);
        let histograms: Vec<_> = windows.iter().map(|window| &window.latency).collect();
        let latency = summary::quantiles(&histograms, &mut random);
        let names = QUANTILES.map(|(name, _)| name);
        let lag = samples.iter().map(|sample| sample.recorder.send_lag.quantile(0.99)).max();
        let seconds = length.as_secs_f64() * windows.len() as f64;
        let cpu = |of: fn(&Sample) -> Option<Duration>| per_answer(samples, all.completed, of);
        Point {
            load: load.into(),
            throughput: summary::rate(&counts, length, &mut random),
            throughput_by_round: samples.iter().map(Sample::rate).collect(),
            rows_per_second: all.rows as f64 / seconds,
            latency_us: names.into_iter().zip(latency).collect(),
            latency_mean_us: micros(all.latency.mean()),
            latency_max_us: micros(all.latency.max()),
            completed: all.completed,
            refused: Refused {
                count: all.refused.len(),
                p50_us: micros(all.refused.quantile(0.5)),
                p99_us: micros(all.refused.quantile(0.99)),
                max_us: micros(all.refused.max()),
            },
            failures: all.failures.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
            send_lag_p99_us: micros(lag.unwrap_or_default()),
            server_cpu_us: cpu(|sample| sample.server_cpu),
            server_cpu_us_by_round: samples
                .iter()
                .filter_map(|sample| {
                    let completed = sample.recorder.windows.iter().map(|w| w.completed).sum();
                    per_answer(std::slice::from_ref(sample), completed, |s| s.server_cpu)
                })
                .collect(),
            generator_cpu_us: cpu(|sample| sample.own_cpu),
        }
    }

    /// Requests that got no good answer.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

fn per_answer(
    samples: &[Sample],
    completed: u64,
    of: fn(&Sample) -> Option<Duration>,
) -> Option<f64> {
    let time: Option<Duration> = samples.iter().map(of).sum();
    time.filter(|_| completed > 0).map(|time| micros(time) / completed as f64)
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}
