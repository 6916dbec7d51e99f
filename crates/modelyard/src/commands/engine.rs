//! `modelyard engine`: which engines there are, and installing ONNX Runtime.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use modelyard_engine::{DEFAULT_VERSION, EngineInfo, Installed, Source, install, onnxruntime};
use serde_json::{Value, json};

use crate::cli::{Globals, LibraryArgs};
use crate::config::{Config, Overrides};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::output;

/// List or install engines
///
/// rten is built in. ONNX Runtime, where it is installed, is faster on most models and runs more
/// of them; `--engine auto` prefers it then.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show every engine: version, where it lies, and why one is not usable
    List(ListArgs),
    /// Install an engine into the data folder
    Install(InstallArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    library: LibraryArgs,
}

/// Install an engine into the data folder
///
/// Takes ONNX Runtime's library out of its Python wheel: fetched by your `pip` with your pip
/// settings, or given by --wheel. Checks that it loads, and records version and SHA-256.
#[derive(clap::Args)]
struct InstallArgs {
    /// The engine: onnxruntime
    #[arg(value_name = "ENGINE", value_parser = [onnxruntime::NAME])]
    engine: String,
    /// Take this wheel instead of fetching one
    #[arg(long, value_name = "FILE", conflicts_with = "version")]
    wheel: Option<PathBuf>,
    /// Version to fetch
    #[arg(long, value_name = "VERSION", default_value = DEFAULT_VERSION)]
    version: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    match &args.action {
        Action::List(args) => list(args, globals),
        Action::Install(args) => install_engine(args, globals),
    }
}

fn list(args: &ListArgs, globals: &Globals) -> anyhow::Result<()> {
    let config = Config::load(globals, args.library.overrides()).exit_with(Exit::Usage)?;
    let engines = config.engine.engines().list();
    if args.json {
        let engines: Vec<Value> = engines.iter().map(to_json).collect();
        return output::json(&json!({"engines": engines}));
    }
    for engine in &engines {
        output::line(text(engine))?;
    }
    Ok(())
}

fn to_json(engine: &EngineInfo) -> Value {
    json!({
        "engine": engine.engine,
        "version": engine.version,
        "usable": engine.unusable.is_none(),
        "origin": engine.origin,
        "path": engine.path.as_ref().map(|path| path.display().to_string()),
        "sha256": engine.sha256,
        "unusable": engine.unusable,
    })
}

fn text(engine: &EngineInfo) -> String {
    let version = engine.version.as_deref().unwrap_or("-");
    let mut text = format!("{:<12} {version:<10} {}", engine.engine, engine.origin);
    if let Some(path) = &engine.path {
        text.push_str(&format!("\n  {}", path.display()));
    }
    if let Some(sha256) = &engine.sha256 {
        text.push_str(&format!("\n  sha256 {sha256}"));
    }
    if let Some(reason) = &engine.unusable {
        text.push_str(&format!("\n  not usable: {reason}"));
    }
    text
}

fn install_engine(args: &InstallArgs, globals: &Globals) -> anyhow::Result<()> {
    if args.engine != onnxruntime::NAME {
        bail!("engine '{}' cannot be installed", args.engine);
    }
    let config = Config::load(globals, Overrides::default()).exit_with(Exit::Usage)?;
    let source = match &args.wheel {
        Some(wheel) => Source::Wheel(wheel.clone()),
        None => Source::Pip { version: args.version.clone() },
    };
    let what = match &source {
        Source::Wheel(_) => "installing onnxruntime",
        Source::Pip { .. } => "fetching onnxruntime with pip",
    };
    let work = || install(&config.engine.data_dir, &source);
    let installed = Progress::unless(args.json).spin(what, work).exit_with(Exit::Engine)?;
    report(&installed, args.json)
}

fn report(installed: &Installed, as_json: bool) -> anyhow::Result<()> {
    let Installed { version, sha256, source, path } = installed;
    if as_json {
        return output::json(&json!({
            "engine": onnxruntime::NAME,
            "version": version,
            "sha256": sha256,
            "source": source,
            "path": path.display().to_string(),
        }));
    }
    Ok(output::line(format!(
        "installed onnxruntime {version} from {source}\n  {}\n  sha256 {sha256}",
        path.display()
    ))?)
}
