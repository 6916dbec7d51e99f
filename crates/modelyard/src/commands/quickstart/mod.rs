//! `modelyard quickstart`: the whole product on real data, from one command.
//!
//! Serves the digit classifier inside this binary, or one that it makes first ([`training`]), as
//! `serve` would ([`App`]), asks it about real digits over every protocol ([`tour`]), tells what
//! came of it ([`report`]), and keeps serving.

mod clients;
mod digits;
mod report;
mod tour;
mod training;

use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tempfile::TempDir;

use crate::app::App;
use crate::app::parent::Parent;
use crate::app::stop::Reason;
use crate::cli::{EngineArgs, Globals};
use crate::config::{Config, ControlMode, ListenConfig};
use crate::exit::{Exit, ExitWith};
use crate::observe::logging;
use crate::observe::progress::Progress;
use crate::output;
use crate::source::Catalogue;
use crate::training::interrupt::Interrupt;
use crate::training::record::Outcome;
use crate::training::session::Trained;
use digits::Digits;
use report::Report;

/// The name the model is served under.
const MODEL_NAME: &str = "digits";

/// Serve a digit classifier and try it on real handwritten digits
///
/// Nothing is downloaded: the model, the 8,000 digits it was trained on and 2,000 that it has not
/// seen are inside this program. Serves on the usual ports, or on free ones where those are taken, asks about
/// every digit over REST (binary and JSON), gRPC and `/predict`, and says how often the model was
/// right and how long it took. Keeps serving until ctrl-C.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Train the model first, as it was made
    #[arg(long)]
    train: bool,
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
    let progress = Progress::unless(args.json);
    // Until the server itself listens for signals.
    let interrupt = args.train.then(Interrupt::listen).transpose();
    let interrupt = interrupt.context("failed to listen for signals")?;
    let trained = match &interrupt {
        Some(interrupt) => Some(train(args, config.engine.threads, &progress, interrupt)?),
        None => None,
    };
    let model = trained.as_ref().map(|trained| trained.model.encode());
    let folder = TempDir::with_prefix("modelyard-quickstart-")
        .context("failed to make a folder for the model")?;
    let path = folder.path().join("digits.onnx");
    std::fs::write(&path, model.as_deref().unwrap_or(digits::MODEL))
        .context("failed to write the model")?;
    let argument = format!("{MODEL_NAME}={}", path.display());
    config.repositories.clear();
    // The tour is about this one model, whatever else is configured.
    config.control.mode = ControlMode::None;
    let catalogue = Catalogue::new(&[argument], &config);
    let sources = catalogue.all().exit_with(Exit::Usage)?;
    logging::start(&config.log, None, &progress)?;
    let mut app = App::build(&config, catalogue, sources, progress.clone())?;
    let guide = Guide {
        plan: tour::Plan {
            addresses: app.addresses(),
            digits: Digits::test()?,
            folder: folder.path().to_owned(),
            progress,
        },
        training: trained.map(|trained| trained.outcome),
        moved,
        json: args.json,
        once: args.once,
    };
    let stopper = app.stopper();
    let (done, result) = mpsc::channel();
    std::thread::Builder::new().name("quickstart".into()).spawn(move || {
        let once = guide.once;
        let told = guide.guide();
        let stop = told.is_err() || once;
        // Nobody listens any more when the server was stopped meanwhile.
        let _ = done.send(told);
        if stop {
            let _ = stopper.send(());
        }
    })?;
    app.keep(folder);
    if interrupt.is_some_and(|interrupt| interrupt.came()) {
        return Err(anyhow!("stopped before the tour")).exit_with(Exit::Interrupted);
    }
    let reason = app.run(parent)?;
    match (result.recv_timeout(FAREWELL), reason) {
        (Ok(told), Reason::Done) => told,
        (Ok(Ok(())), Reason::Outside(_)) => Ok(()),
        // Whatever went wrong for the guide, this is why.
        (_, reason) => Err(anyhow!("stopped before the end of the tour: {reason}"))
            .exit_with(Exit::Interrupted),
    }
}

/// Trains the model; people are told what came of it.
fn train(
    args: &Args,
    threads: usize,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Trained> {
    if !args.json {
        output::line("Training the model on the 8,000 digits inside this program ...")?;
    }
    let trained = training::train(threads, progress, interrupt)?;
    if !args.json {
        output::line(report::training_text(&trained.outcome))?;
    }
    Ok(trained)
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

/// How long a guide whose server is gone may take to notice.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes the newcomer around while the server runs.
struct Guide {
    plan: tour::Plan,
    training: Option<Outcome>,
    moved: Vec<String>,
    json: bool,
    once: bool,
}

impl Guide {
    fn guide(self) -> anyhow::Result<()> {
        if !self.json {
            self.moved.iter().try_for_each(output::line)?;
        }
        let findings = self.plan.walk()?;
        let example = self.plan.folder.join("digit.json");
        std::fs::write(&example, example_body(&self.plan.digits)?)
            .context("failed to write the example")?;
        // Nobody answers it any more when this is printed, unless it keeps serving.
        let curl = if self.once { None } else { self.curl(&example) };
        let mut report = Report::new(&self.plan, findings, curl);
        report.training = self.training;
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
