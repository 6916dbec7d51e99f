//! `modelyard replay`: recorded requests run again, against another model.
//!
//! | module | does |
//! |---|---|
//! | `mod` | the command, and the order of things |
//! | `which` | what is run: a file, a version of a registry, a server |
//! | `side` | one request through one of these, timed |
//! | `measure` | all requests through both, and what differs |
//! | `limits` | thresholds, and which are passed |
//! | `report` | what is told |

mod limits;
mod measure;
mod report;
mod side;
mod which;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use modelyard_tape::{Part, Record, Tape, TapeError};

use crate::cli::{EngineArgs, Globals, duration};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::output;
use limits::LimitArgs;
use measure::Measured;
use report::Report;
use which::Which;

/// Run recorded requests again, against another model, and tell what differs
///
/// TAPE is what `modelyard serve --tape DIR` records. Without --baseline the recorded answers are
/// compared with, and the recorded times, which were taken in a server with other requests around
/// them; with it both models run every request, in turn on this machine, so that times can be
/// compared too.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard replay tape --against better.onnx\n  \
    modelyard replay tape --against digits:canary --baseline digits:stable --since 7d \\\n    \
    --max-class-changes 0.01 --max-errors 0 --max-latency-ratio 1.2\n  \
    modelyard replay tape/tape-1795824000123456.parquet --against int8.onnx --json\n\n\
    The exit code is 6 when a threshold was passed.")]
pub(crate) struct Args {
    /// Folder or files of a tape
    #[arg(value_name = "TAPE", required = true)]
    tape: Vec<PathBuf>,
    /// The model to try: a file or folder; a version of a registry, as digits:2 or digits:stable; a
    /// server's, as http://localhost:8000/v2/models/digits
    #[arg(long, value_name = "MODEL")]
    against: String,
    /// The model to compare with, of the same kinds; its times are measured in turn with the other's
    /// [default: the recorded answers and times]
    #[arg(long, value_name = "MODEL")]
    baseline: Option<String>,
    /// Requests for this model only; needed where the tape has several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The first so many requests only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Requests since then only: a time ago such as 2h or 7d, or 2026-11-28T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Requests that run at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// The registry's folder [default: registry in the data folder]
    #[arg(long, value_name = "DIR")]
    registry: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
    // Last: what follows would stand under its heading.
    #[command(flatten)]
    limits: LimitArgs,
}

fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = duration(text) {
        return SystemTime::now().checked_sub(ago).ok_or_else(|| "that is too long ago".to_owned());
    }
    let expected = |_| format!("expected 2h, 7d or 2026-11-28T09:00:00Z, found '{text}'");
    humantime::parse_rfc3339_weak(text).map_err(expected)
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let tape = Tape::open(&args.tape).map_err(coded)?;
    let model = only_model(args, &tape)?;
    let progress = Progress::unless(args.json);
    let load = |name: &String| Which::parse(name)?.load((args, globals), &progress);
    let against = load(&args.against)?;
    let baseline = args.baseline.as_ref().map(load).transpose()?;
    let mut damage = None;
    let records = records(args, &tape, &model, &mut damage);
    let sides = (&against, baseline.as_ref());
    let measure = || measure::measure(sides, records, args.concurrency.into());
    let measured = progress.spin("replaying", measure)?;
    if let Some(error) = damage {
        return Err(coded(error));
    }
    if measured.requests == 0 {
        return Err(nothing(args, &model, &measured));
    }
    let report = Report::new(args, &model, sides, &measured);
    match args.json {
        true => output::json(&report)?,
        false => output::line(report.text().trim_end())?,
    }
    limits::verdict(&report.exceeded).exit_with(Exit::Threshold)
}

/// The model whose requests are meant.
fn only_model(args: &Args, tape: &Tape) -> anyhow::Result<String> {
    let models = tape.models().map_err(coded)?;
    let names: Vec<&str> = models.iter().map(String::as_str).collect();
    let all = names.join(", ");
    let found = match (&args.model, names.as_slice()) {
        (_, []) => Err(anyhow!("the tape holds no requests")),
        (Some(model), names) if names.contains(&model.as_str()) => Ok(model.clone()),
        (Some(model), _) => {
            Err(anyhow!("the tape holds no requests for model '{model}', but for {all}"))
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(anyhow!("say which by --model: the tape holds requests for {all}")),
    };
    found.exit_with(Exit::Usage)
}

/// The requests that are meant, in the order they were answered.
fn records<'a>(
    args: &'a Args,
    tape: &'a Tape,
    model: &'a str,
    damage: &'a mut Option<TapeError>,
) -> impl Iterator<Item = Record> + Send + 'a {
    let since = args.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
    let since_us = since.map_or(i64::MIN, |since: Duration| since.as_micros() as i64);
    let sound = move |record| match record {
        Ok(record) => Some(record),
        Err(error) => {
            *damage = Some(error);
            None
        }
    };
    tape.records(Part::Whole)
        .map_while(sound)
        .filter(move |record| record.model == model && record.time_us >= since_us)
        .take(args.limit.unwrap_or(usize::MAX))
}

/// Why nothing was run.
fn nothing(args: &Args, model: &str, measured: &Measured) -> anyhow::Error {
    let reasons = measured.skipped.iter();
    let reasons: Vec<String> =
        reasons.map(|(reason, count)| format!("\n  {count} passed over: {reason}")).collect();
    let when = if args.since.is_some() && reasons.is_empty() { " since then" } else { "" };
    let asked = if args.limit == Some(0) { " (--limit 0)" } else { "" };
    let text =
        format!("no request for model '{model}'{when} could be run{asked}{}", reasons.concat());
    Exit::Failure.coded(anyhow!(text))
}

/// An error of the tape with the exit code that it means.
fn coded(error: TapeError) -> anyhow::Error {
    match error {
        TapeError::Damaged { .. } => Exit::Failure.coded(error.into()),
        _ => Exit::Usage.coded(error.into()),
    }
}

/// A share of requests.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// A number that is not negative.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number >= 0.0);
    number.ok_or_else(|| "expected a number that is not negative".to_owned())
}
