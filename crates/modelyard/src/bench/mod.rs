//! `modelyard bench`: load for a server, or for a model in process, and what came of it.
//!
//! ```text
//! Args ─prepare→ Plan ─measure (loads take turns, round by round)→ Samples ─sum up→ Report
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `args` | the options |
//! | `target` | the server's address, and its metadata |
//! | `inputs`, `encode` | requests, made before the measurement |
//! | `caller` | what sends one request; `http` (with `http_body`), `grpc` and `local` are the ways to |
//! | `drive`, `arrivals` | closed and open loops |
//! | `recorder`, `histogram` | what is kept of each request |
//! | `measure` | one measurement: threads, clocks, CPU time |
//! | `summary`, `report` | figures and their intervals |
//! | `table`, `svg` | how they are shown |

mod args;
mod arrivals;
mod caller;
mod cpu;
mod drive;
mod encode;
pub(crate) mod grpc;
mod histogram;
mod http;
mod http_body;
mod in_process;
mod inputs;
mod local;
mod measure;
mod prepare;
mod random;
mod recorder;
mod report;
mod summary;
mod svg;
mod table;
mod target;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use args::Args;

use crate::cli::Globals;
use crate::exit::{Exit, ExitWith};
use crate::output;
use measure::{Load, Plan, Sample};
use prepare::Prepared;
use report::{METHOD, Point, Report};

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if let Some(path) = &args.svg {
        check_writable(path).exit_with(Exit::Usage)?;
    }
    let prepared = prepare::prepare(args, globals)?;
    let loads = args.loads();
    let samples = measure_all(args, &prepared.plan, &loads)?;
    let report = sum_up(args, &prepared, &loads, &samples);
    match (args.json, args.markdown) {
        (true, _) => output::json(&report)?,
        (_, true) => output::line(table::markdown(&report).trim_end())?,
        _ => output::line(table::text(&report).trim_end())?,
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, svg::draw(&report))
            .with_context(|| format!("failed to write the plot '{}'", path.display()))?;
    }
    if report.points.iter().all(|point| point.completed == 0) {
        let mut failures = report.points.iter().flat_map(|point| point.failures.keys().next());
        let why = failures.next().cloned().unwrap_or_else(|| "nothing finished in time".into());
        return Err(anyhow::anyhow!("no request got a good answer: {why}")).exit_with(Exit::Remote);
    }
    Ok(())
}

/// Fails where the plot could not be written: before the measurement rather than after it.
fn check_writable(path: &Path) -> anyhow::Result<()> {
    let is_new = !path.exists();
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot write the plot '{}'", path.display()))?;
    if is_new {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// All rounds; the loads take turns in each, so that what disturbs the machine for a while
/// disturbs all of them.
fn measure_all(args: &Args, plan: &Plan, loads: &[Load]) -> anyhow::Result<Vec<Vec<Sample>>> {
    let total = (args.duration + args.warmup) * loads.len() as u32 * u32::from(args.rounds);
    let progress = progress(total.as_millis() as u64);
    let mut samples: Vec<Vec<Sample>> = loads.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        for (load, samples) in loads.iter().zip(&mut samples) {
            let label = table::load(&(*load).into());
            progress.set_message(format!("{label}, round {} of {}", round + 1, args.rounds));
            let tick = || progress.set_position(progress.elapsed().as_millis() as u64);
            samples.push(plan.measure(*load, u64::from(round), tick)?);
            if plan.pid.is_some_and(|pid| cpu::time_of_tree(pid).is_none()) {
                bail!("the server's process ended during the measurement ({label})");
            }
        }
    }
    progress.finish_and_clear();
    Ok(samples)
}

fn progress(millis: u64) -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {msg}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(millis).with_style(style)
}

fn sum_up(args: &Args, prepared: &Prepared, loads: &[Load], samples: &[Vec<Sample>]) -> Report {
    let points = loads.iter().zip(samples);
    Report {
        target: args.target.clone(),
        protocol: prepared.protocol.name(),
        model: prepared.model.clone(),
        request_bytes: prepared.request_bytes,
        duration_s: args.duration.as_secs_f64(),
        warmup_s: args.warmup.as_secs_f64(),
        rounds: usize::from(args.rounds),
        load_threads: prepared.plan.threads,
        connections: prepared.connections,
        method: METHOD,
        points: points.map(|(load, samples)| Point::new(*load, samples, args.seed)).collect(),
    }
}
