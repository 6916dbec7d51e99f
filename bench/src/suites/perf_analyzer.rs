//! Our generator against NVIDIA's perf_analyzer, which must see the same server.
//!
//! Both share the cores with the server, so they can agree only where the server's time is what
//! counts: with the models that take milliseconds. Of a digit, which takes microseconds, the
//! client is half of the cost, and perf_analyzer spends several times what ours does: both
//! figures are shown with what each client took, without a verdict.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::check;
use crate::compare::Spread;
use crate::contender::{Contender, Start, Talk, words};
use crate::env::Env;
use crate::load;
use crate::process::{self, Server};
use crate::report::{Report, Table, micros, rate};

/// How often perf_analyzer may fail to find a stable measurement on a machine that others use.
const TRIES: usize = 3;
/// How far the two may lie apart.
const TOLERANCE: f64 = 0.1;
/// What both measure: protocol and callers.
const LOADS: [(&str, usize); 4] = [("http", 1), ("http", 8), ("grpc", 1), ("grpc", 8)];

/// Lets both measure the same server in turns, over both protocols.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let folder = env.peer("perf_analyzer")?;
    let mut report = Report::new("perf-analyzer", env);
    let heading = ["model", "load", "ours/s", "theirs/s", "ratio", "our CPU", "their CPU"];
    let title = "Requests a second as modelyard bench and perf_analyzer see them, and the CPU time \
                 of each client for one";
    let mut table = Table::new(title, &heading);
    // Without batches: how many rows meet in one is no matter of the generator.
    let alone = "--set models.model.max_batch_size=1";
    let models = [
        ("digits", env.digits_model(), ""),
        ("wide MLP", env.model("wide")?, alone),
        ("mobilenet", env.model("mobilenet")?, alone),
    ];
    for (name, model, flags) in models {
        for (protocol, callers) in LOADS {
            let load = format!("{protocol}, c={callers}");
            eprintln!("{name}, {load}");
            let start = Start::Ours { model: model.clone(), flags: words(flags) };
            let (own, theirs) = take_turns(env, &folder, start, protocol, callers)?;
            let pairs = own.iter().zip(&theirs);
            let ratio = Spread::of(pairs.map(|(own, theirs)| own.per_second / theirs.per_second));
            table.row([
                name.into(),
                load.clone(),
                rate(Spread::of(own.iter().map(|seen| seen.per_second))),
                rate(Spread::of(theirs.iter().map(|seen| seen.per_second))),
                ratio.ratio(),
                micros(Spread::of(own.iter().map(|seen| seen.client_us)).median),
                micros(Spread::of(theirs.iter().map(|seen| seen.client_us)).median),
            ]);
            if name != "digits" {
                let near = (ratio.median - 1.0).abs() <= TOLERANCE;
                let what = format!("{name}, {load}: ours over theirs, 1 ± {TOLERANCE}");
                report.target(&what, ratio.median, near);
            }
            report.data(&format!("{name}, {load}: ours, theirs"), [own, theirs]);
        }
    }
    report.table(table);
    Ok(report)
}

/// What a generator saw, and what it took itself.
#[derive(serde::Serialize)]
struct Seen {
    per_second: f64,
    /// CPU time of the generator for a request.
    client_us: f64,
}

/// What ours and theirs see of one server, round by round.
fn take_turns(
    env: &Env,
    folder: &Path,
    start: Start,
    protocol: &str,
    callers: usize,
) -> anyhow::Result<(Vec<Seen>, Vec<Seen>)> {
    let talk = match protocol {
        "http" => Talk::Http(words("-m model")),
        _ => Talk::Grpc(words("-m model")),
    };
    let ours = Contender { name: "modelyard".into(), start, cores: None, talk, question: None };
    let server = ours.start(env)?;
    let mut arguments = ours.talk.arguments(&server);
    arguments.extend(words(&format!("-c {callers}")));
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..env.options.rounds {
        let found = load::run(env, Some(&server), &arguments, None)?;
        own.push(Seen { per_second: found.per_second, client_us: found.generator_cpu_us });
        theirs.push(analyze(env, folder, &server, protocol, callers)?);
    }
    Ok((own, theirs))
}

/// What perf_analyzer sees.
fn analyze(
    env: &Env,
    folder: &Path,
    server: &Server,
    protocol: &str,
    callers: usize,
) -> anyhow::Result<Seen> {
    let address = if protocol == "http" { &server.http } else { &server.grpc };
    // It takes three windows that agree.
    let window_ms = (env.options.seconds * 500.0).max(500.0);
    let mut said = String::new();
    for _ in 0..TRIES {
        let (cpu, count) = (process::children_cpu_us(), inferences(server)?);
        let mut run = Command::new(folder.join("run.sh"));
        run.args(["-m", "model", "-u", address, "-i", protocol]);
        run.args(["-s", "50", "-r", "10", "-p", &format!("{window_ms:.0}")]);
        run.args(["--concurrency-range", &callers.to_string()]);
        let output = run.output().context("failed to start perf_analyzer")?;
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        let line = said.lines().find(|line| line.trim_start().starts_with("Throughput:"));
        let number = line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok());
        if let Some(per_second) = number {
            let count = inferences(server)? - count;
            return Ok(Seen { per_second, client_us: (process::children_cpu_us() - cpu) / count });
        }
    }
    bail!("perf_analyzer says no throughput in {TRIES} tries: {said}")
}

/// How many inferences the server has counted.
fn inferences(server: &Server) -> anyhow::Result<f64> {
    let answer = check::ask(&server.http, "GET", "/v2/models/model/stats", b"")?;
    let json: serde_json::Value = serde_json::from_slice(&answer.body)?;
    json["model_stats"][0]["inference_count"].as_f64().context("no inference_count in statistics")
}
