//! One run of the load generator, `modelyard bench`.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::env::Env;
use crate::process::{Server, command};

/// What one run gave.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Figures {
    /// Good answers a second.
    pub(crate) per_second: f64,
    /// Rows in them a second.
    pub(crate) rows_per_second: f64,
    /// CPU time of the server for a good answer.
    pub(crate) cpu_us: f64,
    /// CPU time of the generator for a good answer (in process: of the model).
    pub(crate) generator_cpu_us: f64,
    /// Median latency.
    pub(crate) p50_us: f64,
    /// 99th percentile.
    pub(crate) p99_us: f64,
    /// Requests without a good answer, refusals included.
    pub(crate) failed: u64,
    /// Refusals.
    pub(crate) refused: u64,
    /// Latency of the slowest refusal.
    pub(crate) refused_max_us: f64,
    /// 99th percentile of refusals.
    pub(crate) refused_p99_us: f64,
    /// Good answers.
    pub(crate) completed: u64,
    /// What failed, by kind.
    pub(crate) failures: Value,
}

impl Figures {
    /// Of those that failed, how many the generator was too late to send: it shares the machine.
    pub(crate) fn unsent(&self) -> u64 {
        self.failures["not sent before the end"].as_u64().unwrap_or(0)
    }
}

/// The generator with these arguments, ready to run.
pub(crate) fn generator(
    env: &Env,
    server: Option<&Server>,
    arguments: &[String],
    cores: Option<&str>,
) -> Command {
    let mut bench = command(&env.modelyard, cores);
    bench.arg("bench").args(arguments).args(["--json", "--rounds", "1"]);
    if !arguments.iter().any(|argument| argument == "--duration") {
        bench.args(["--duration", &format!("{}s", env.options.seconds)]);
    }
    if let Some(server) = server {
        bench.args(["--pid", &server.pid().to_string()]);
    }
    bench.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    bench
}

/// Runs the generator and gives the figures of its only load.
pub(crate) fn run(
    env: &Env,
    server: Option<&Server>,
    arguments: &[String],
    cores: Option<&str>,
) -> anyhow::Result<Figures> {
    let mut bench = generator(env, server, arguments, cores);
    let output = bench.output().with_context(|| format!("failed to start {bench:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{bench:?} failed: {errors}");
    figures(&output.stdout)
}

/// Reads what the generator printed.
pub(crate) fn figures(printed: &[u8]) -> anyhow::Result<Figures> {
    let report: Value = serde_json::from_slice(printed).context("the generator's output")?;
    let point = &report["points"][0];
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let failures = point["failures"].as_object().cloned().unwrap_or_default();
    Ok(Figures {
        per_second: number(&point["throughput"]["value"]),
        rows_per_second: number(&point["rows_per_second"]),
        cpu_us: number(&point["server_cpu_us"]),
        generator_cpu_us: number(&point["generator_cpu_us"]),
        p50_us: number(&point["latency_us"]["p50"]["value"]),
        p99_us: number(&point["latency_us"]["p99"]["value"]),
        failed: failures.values().filter_map(Value::as_u64).sum(),
        refused: point["refused"]["count"].as_u64().unwrap_or(0),
        refused_max_us: number(&point["refused"]["max_us"]),
        refused_p99_us: number(&point["refused"]["p99_us"]),
        completed: point["completed"].as_u64().unwrap_or(0),
        failures: Value::Object(failures),
    })
}
