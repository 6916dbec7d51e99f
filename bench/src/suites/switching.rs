//! A server under steady load, whose second model gets new versions meanwhile.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::check;
use crate::contender::{Contender, Start, words};
use crate::env::{Env, run};
use crate::load::{self, Figures, figures};
use crate::process::Server;
use crate::registry::{Registry, Repository, noted, order};

/// The model whose versions change, beside `model`, which nobody touches.
const SWITCHED: &str = "switched";
/// Warm-up of the generators, and how long they may take to start.
const WARM_UP: Duration = Duration::from_secs(1);
const STARTING: Duration = Duration::from_millis(300);
/// Steps to find a rate.
const LOOKS: usize = 4;
/// How long a switch may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a new version comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// An alias of the registry moves, and the server follows it.
    Alias,
    /// The file is replaced and the server is told to load the model.
    Load,
    /// No switch at all: another process works at the lowest priority. What that costs is the
    /// machine's doing.
    Control,
}

/// Where new versions come from.
enum Source {
    Registry { registry: Registry, next: usize, last: usize },
    Repository { repository: Repository, variants: [PathBuf; 2], next: usize },
    None { repository: Repository, file: PathBuf },
}

/// What was measured in a stretch of time.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Phase {
    /// Of the model that nobody touches.
    pub(super) untouched: Figures,
    /// Of the one whose versions change.
    pub(super) switched: Figures,
    /// How long each switch took that began and ended within it.
    pub(super) switches_ms: Vec<f64>,
}

/// A server, and the rates that are half of what it can do.
pub(super) struct Bench<'a> {
    env: &'a Env,
    server: Server,
    source: Source,
    /// Requests a second for each model.
    pub(super) rates: [f64; 2],
}

impl Source {
    /// As many versions of a model as will be needed.
    fn new(env: &Env, way: Way, model: &[u8], versions: usize) -> anyhow::Result<Self> {
        if way == Way::Control {
            let repository = Repository::new(env)?;
            repository.add(SWITCHED, model)?;
            let file = repository.beside("file");
            std::fs::write(&file, model)?;
            return Ok(Source::None { repository, file });
        }
        if way == Way::Load {
            let repository = Repository::new(env)?;
            repository.add(SWITCHED, model)?;
            let variants = ["0.onnx", "1.onnx"].map(|name| repository.beside(name));
            for (note, path) in variants.iter().enumerate() {
                std::fs::write(path, noted(model, note))?;
            }
            return Ok(Source::Repository { repository, variants, next: 0 });
        }
        let registry = Registry::new(env)?;
        registry.push(SWITCHED, model, &["--alias", "stable"])?;
        for note in 2..=versions {
            registry.push(SWITCHED, &noted(model, note), &[])?;
        }
        Ok(Source::Registry { registry, next: 2, last: versions })
    }

    fn flags(&self) -> Vec<String> {
        match self {
            Source::Registry { registry, .. } => registry.followed([SWITCHED].into_iter()),
            Source::Repository { repository, .. } | Source::None { repository, .. } => {
                repository.explicit(["model", SWITCHED].into_iter())
            }
        }
    }

    /// One new version, and how long it took from when it was wanted until it answered.
    fn switch(&mut self, address: &str) -> anyhow::Result<Duration> {
        match self {
            Source::Registry { registry, next, last } => {
                registry.point(SWITCHED, *next, "stable")?;
                let begin = Instant::now();
                wait_for(address, *next)?;
                *next = if next == last { 1 } else { *next + 1 };
                Ok(begin.elapsed())
            }
            Source::Repository { repository, variants, next } => {
                repository.replace(SWITCHED, &variants[*next])?;
                *next = 1 - *next;
                let begin = Instant::now();
                order(address, SWITCHED, "load")?;
                Ok(begin.elapsed())
            }
            Source::None { file, .. } => {
                let begin = Instant::now();
                let mut work = Command::new("chrt");
                run(work.args(["--idle", "0", "sha256sum"]).arg(file).stdout(Stdio::null()))?;
                Ok(begin.elapsed())
            }
        }
    }
}

/// Waits until this version answers, and no other.
fn wait_for(address: &str, version: usize) -> anyhow::Result<()> {
    let begin = Instant::now();
    let wanted = serde_json::json!([version.to_string()]);
    loop {
        let answer = check::ask(address, "GET", &format!("/v2/models/{SWITCHED}"), b"")?;
        let about: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if about["versions"] == wanted {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "version {version} does not answer: {about}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl<'a> Bench<'a> {
    /// Starts the server and finds the rates: each keeps a quarter of the machine busy, so that both
    /// are half of it.
    pub(super) fn start(
        env: &'a Env,
        (way, model): (Way, &[u8]),
        versions: usize,
    ) -> anyhow::Result<Bench<'a>> {
        let source = Source::new(env, way, model, versions)?;
        let start = Start::Ours { model: env.digits_model(), flags: source.flags() };
        let server = Contender::ours(start).start(env)?;
        let mut bench = Bench { env, server, source, rates: [0.0; 2] };
        for (index, model) in ["model", SWITCHED].into_iter().enumerate() {
            bench.rates[index] = bench.quarter(model)?;
        }
        Ok(bench)
    }

    /// Requests a second that take a quarter of the machine's time, in server and generator. One that
    /// comes alone takes more of it than one of many, so this is looked for step by step.
    fn quarter(&self, model: &str) -> anyhow::Result<f64> {
        let cores = std::thread::available_parallelism()?.get() as f64;
        let mut arguments = self.arguments(model, "-c 8");
        let mut rate = f64::INFINITY;
        for _ in 0..LOOKS {
            let found = load::run(self.env, Some(&self.server), &arguments, None)?;
            ensure!(found.failed == 0, "{model}: {} under load", found.failures);
            let quarter = cores / 4.0 * 1e6 / (found.cpu_us + found.generator_cpu_us);
            rate = rate.min(quarter);
            arguments = self.arguments(model, &format!("--rate {rate:.1}"));
        }
        Ok(rate)
    }

    /// Steady load on both models for so many seconds, with one switch after the other or without.
    pub(super) fn phase(&mut self, seconds: f64, switching: bool) -> anyhow::Result<Phase> {
        let mut generators = Vec::new();
        for (model, rate) in ["model", SWITCHED].into_iter().zip(self.rates) {
            let flags = format!("--rate {rate:.1} --warmup 1s --duration {seconds}s");
            let arguments = self.arguments(model, &flags);
            generators.push(spawn(load::generator(self.env, None, &arguments, None))?);
        }
        let begin = Instant::now();
        let end = begin + WARM_UP + Duration::from_secs_f64(seconds);
        let mut switches_ms = Vec::new();
        // Some of the warm-up has switches, too: the measured time then begins in the midst of them.
        std::thread::sleep(WARM_UP / 2);
        while switching && Instant::now() < end {
            let counts = begin.elapsed() > WARM_UP + STARTING;
            let took = self.source.switch(&self.server.http)?;
            if counts && Instant::now() < end {
                switches_ms.push(took.as_secs_f64() * 1e3);
            }
        }
        let [untouched, switched] = [generators.remove(0), generators.remove(0)].map(finish);
        Ok(Phase { untouched: untouched?, switched: switched?, switches_ms })
    }

    /// Memory of the server, in megabytes.
    pub(super) fn resident_mb(&self) -> f64 {
        self.server.resident_mb()
    }

    fn arguments(&self, model: &str, flags: &str) -> Vec<String> {
        let target = format!("http://{}", self.server.http);
        [vec![target, "-m".into(), model.into()], words(flags)].concat()
    }
}

fn spawn(mut generator: Command) -> anyhow::Result<Child> {
    generator.spawn().with_context(|| format!("failed to start {generator:?}"))
}

fn finish(generator: Child) -> anyhow::Result<Figures> {
    let output = generator.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the generator failed: {errors}");
    figures(&output.stdout)
}
