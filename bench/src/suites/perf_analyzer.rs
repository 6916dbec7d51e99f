//! Our generator against NVIDIA's perf_analyzer: both must see the same server.

use std::process::Command;

use anyhow::{Context, bail};

use crate::compare::Spread;
use crate::contender::{Contender, Start, Talk, words};
use crate::env::Env;
use crate::load;
use crate::process::Server;
use crate::report::{Report, Table, rate};

/// How often perf_analyzer may fail to find a stable measurement on a machine that others use.
const TRIES: usize = 3;
/// How far the two may lie apart.
const TOLERANCE: f64 = 0.1;

/// Lets both measure the same server in turns, over both protocols.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let folder = env.peer("perf_analyzer")?;
    let mut report = Report::new("perf-analyzer", env);
    let heading = ["model", "protocol", "callers", "modelyard bench", "perf_analyzer", "ratio"];
    let mut table = Table::new("Requests a second by both", &heading);
    let models = [("digits", env.digits_model()), ("mobilenet", env.model("mobilenet")?)];
    for (name, model) in models {
        for (protocol, callers) in [("http", 1), ("http", 8), ("grpc", 1), ("grpc", 8)] {
            let talk = match protocol {
                "http" => Talk::Http(words("-m model")),
                _ => Talk::Grpc(words("-m model")),
            };
            let start = Start::Ours { model: model.clone(), flags: Vec::new() };
            let ours = Contender { name: name.into(), start, cores: None, talk, question: None };
            let server = ours.start(env)?;
            let (mut own, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..env.options.rounds {
                let mut arguments = ours.talk.arguments(&server);
                arguments.extend(words(&format!("-c {callers}")));
                own.push(load::run(env, Some(&server), &arguments, None)?.per_second);
                theirs.push(analyze(&folder, &server, protocol, callers)?);
            }
            let ratio = Spread::of(own.iter().zip(&theirs).map(|(own, theirs)| own / theirs));
            let (own, theirs) = (Spread::of(own), Spread::of(theirs));
            table.row([
                name.into(),
                protocol.into(),
                callers.to_string(),
                rate(own),
                rate(theirs),
                ratio.ratio(),
            ]);
            let near = (ratio.median - 1.0).abs() <= TOLERANCE;
            report.target(
                &format!("{name}, {protocol}, c={callers}: ours over theirs, 1 ± 0.1"),
                ratio.median,
                near,
            );
            report.data(&format!("{name}, {protocol}, {callers}"), [own, theirs]);
        }
    }
    report.table(table);
    Ok(report)
}

/// Requests a second by perf_analyzer.
fn analyze(
    folder: &std::path::Path,
    server: &Server,
    protocol: &str,
    callers: usize,
) -> anyhow::Result<f64> {
    let address = if protocol == "http" { &server.http } else { &server.grpc };
    let mut said = String::new();
    for _ in 0..TRIES {
        let mut run = Command::new(folder.join("run.sh"));
        run.args(["-m", "model", "-u", address, "-i", protocol]);
        run.args(["-s", "50", "-r", "10", "-p", "3000"]);
        run.args(["--concurrency-range", &callers.to_string()]);
        let output = run.output().context("failed to start perf_analyzer")?;
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        let line = said.lines().find(|line| line.trim_start().starts_with("Throughput:"));
        let number = line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok());
        if let Some(number) = number {
            return Ok(number);
        }
    }
    bail!("perf_analyzer says no throughput in {TRIES} tries: {said}")
}
