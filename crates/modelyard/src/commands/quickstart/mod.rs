//! `modelyard quickstart`: the whole product on real data, from one command.
//!
//! Serves the digit classifier inside this binary as `serve` would ([`App`]), asks it about real
//! digits over every protocol ([`tour`]), tells what came of it ([`report`]), and keeps serving.

mod clients;
mod digits;
mod report;
mod tour;

use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, anyhow};
use tempfile::TempDir;

use crate::app::App;
use crate::app::parent::Parent;
use crate::cli::{EngineArgs, Globals};
use crate::config::{Config, ListenConfig};
use crate::exit::{Exit, ExitWith};
use crate::observe::logging;
use crate::observe::progress::Progress;
use crate::{output, source};
use digits::Digits;
use report::Report;

/// The name the model is served under.
const MODEL_NAME: &str = "digits";

/// Serve a digit classifier and try it on real handwritten digits
///
/// Nothing is downloaded: the model and 2,000 digits that it has not seen in training are inside
/// this program. Serves on the usual ports, or on free ones where those are taken, asks about
/// every digit over REST (binary and JSON), gRPC and `/predict`, and says how often the model was
/// right and how long it took. Keeps serving until ctrl-C.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stop when the digits have been tried
    #[arg(long)]
    once: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let parent = Parent::now();
    // The report is what a newcomer shall see; logs only when something is wrong.
    let mut globals = globals.clone();
    globals.log_level.get_or_insert_with(|| "warn".into());
    let mut config = Config::load(&globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let moved = free_ports(&mut config.listen);
    let folder = TempDir::with_prefix("modelyard-quickstart-")
        .context("failed to make a folder for the model")?;
    let model = folder.path().join("digits.onnx");
    std::fs::write(&model, digits::MODEL).context("failed to write the model")?;
    let argument = format!("{MODEL_NAME}={}", model.display());
    let sources = source::find(&[argument], &Config { repositories: Vec::new(), ..config.clone() })
        .exit_with(Exit::Usage)?;
    let progress = Progress::new();
    logging::start(&config.log, None, &progress)?;
    let mut app = App::build(&config, sources, progress.clone())?;
    let guide = Guide {
        plan: tour::Plan {
            addresses: app.addresses(),
            digits: Digits::test()?,
            folder: folder.path().to_owned(),
            progress,
        },
        moved,
        json: args.json,
        once: args.once,
    };
    let stopper = app.stopper();
    let (done, result) = mpsc::channel();
    std::thread::Builder::new().name("quickstart".into()).spawn(move || {
        let told = guide.guide();
        let stop = told.is_err() || guide.once;
        // Nobody listens any more when the server was stopped meanwhile.
        let _ = done.send(told);
        if stop {
            let _ = stopper.send(());
        }
    })?;
    app.keep(folder);
    app.run(parent)?;
    result.try_recv().unwrap_or(Ok(()))
}

/// Puts other ports where the usual ones are taken; says which.
fn free_ports(listen: &mut ListenConfig) -> Vec<String> {
    let mut moved = Vec::new();
    let listeners =
        [("HTTP", &mut listen.http), ("gRPC", &mut listen.grpc), ("metrics", &mut listen.metrics)];
    for (what, address) in listeners {
        let Some(wanted) = address.as_mut() else { continue };
        let taken = TcpListener::bind(wanted.as_str());
        let taken = taken.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        if let (true, Some((host, _))) = (taken, wanted.rsplit_once(':')) {
            moved.push(format!("{what} address {wanted} is taken: a free port is used instead"));
            *wanted = format!("{host}:0");
        }
    }
    moved
}

/// Takes the newcomer around while the server runs.
struct Guide {
    plan: tour::Plan,
    moved: Vec<String>,
    json: bool,
    once: bool,
}

impl Guide {
    fn guide(&self) -> anyhow::Result<()> {
        if !self.json {
            self.moved.iter().try_for_each(output::line)?;
        }
        let findings = self.plan.walk()?;
        let example = self.plan.folder.join("digit.json");
        std::fs::write(&example, example_body(&self.plan.digits)?)
            .context("failed to write the example")?;
        // Nobody answers it any more when this is printed, unless it keeps serving.
        let curl = if self.once { None } else { self.curl(&example) };
        let report = Report::new(&self.plan, findings, curl);
        if self.json {
            output::json(&report)?;
        } else {
            output::line(report.text(&self.plan.digits, self.once))?;
        }
        if report.agree {
            Ok(())
        } else {
            Err(anyhow!("the protocols do not agree about all digits"))
        }
    }

    /// A line to paste into a shell.
    fn curl(&self, example: &Path) -> Option<String> {
        let http = self.plan.addresses.http?;
        Some(format!("curl -s -d @{} http://{http}/predict", example.display()))
    }
}

/// A seven, as `/predict` takes it.
fn example_body(digits: &Digits) -> anyhow::Result<Vec<u8>> {
    const SEVEN: usize = 7;
    let index = (0..digits.len()).find(|&index| digits.label(index) == SEVEN);
    Ok(clients::predict_body(&digits.image(index.unwrap_or(0))))
}
