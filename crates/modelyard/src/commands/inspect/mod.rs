//! `modelyard inspect`: what a model takes, gives, costs, and which engines run it.

mod report;
mod sizes;
mod text;

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use modelyard_graph::file;
use modelyard_tensor::Shape;

use crate::cli::{Globals, LibraryArgs};
use crate::config::Config;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::{output, source};
use report::Report;

/// Show what a model takes, gives, costs, and which engines run it
///
/// Reads and verifies the file without running it. FLOPs and memory are estimates of one run with
/// every free dimension 1, unless --dim or --shape gives it a size. For an engine that cannot run
/// the model, the operators and nodes that stand against it are named.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Model file, or folder with versions (the newest is shown)
    #[arg(value_name = "MODEL")]
    path: String,
    /// Size of a symbolic dimension for the estimates, such as batch=8 (repeatable)
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = dim)]
    dims: Vec<(String, usize)>,
    /// Shape of an input for the estimates, such as image=1,3,224,224 (repeatable)
    #[arg(long = "shape", value_name = "INPUT=SHAPE", value_parser = shape)]
    shapes: Vec<(String, Shape)>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    library: LibraryArgs,
}

fn dim(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.split_once('=').ok_or("expected NAME=SIZE")?;
    let size = size.parse().map_err(|_| format!("expected a size, found '{size}'"))?;
    Ok((name.to_owned(), size))
}

fn shape(text: &str) -> Result<(String, Shape), String> {
    let (name, dims) = text.split_once('=').ok_or("expected INPUT=SHAPE")?;
    let sizes: Option<Shape> = dims.split(',').map(|dim| dim.trim().parse().ok()).collect();
    let sizes = sizes.ok_or_else(|| format!("expected sizes such as 1,3,224,224, found '{dims}'"));
    Ok((name.to_owned(), sizes?))
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let config = Config::load(globals, args.library.overrides()).exit_with(Exit::Usage)?;
    let path = file_of(&args.path, &config).exit_with(Exit::Model)?;
    let progress = Progress::unless(args.json);
    let read = || file::read_file(&path, &config.model_limits);
    let model = progress
        .spin("reading the model", read)
        .with_context(|| format!("'{}' is not usable", path.display()))
        .exit_with(Exit::Model)?;
    let sizes = sizes::check(&args.dims, &args.shapes, &model).exit_with(Exit::Usage)?;
    let engines = config.engine.engines();
    let describe = || Report::new(&path, &model, &sizes, &engines);
    let report = progress.spin("asking the engines", describe);
    if args.json { output::json(&report) } else { Ok(output::line(report.text())?) }
}

/// The file itself, or that of the newest version in a folder.
fn file_of(path: &str, config: &Config) -> anyhow::Result<PathBuf> {
    let source = source::one(None, path.as_ref(), config).map_err(anyhow::Error::msg)?;
    let newest = source.versions.into_iter().next_back();
    let newest = newest.ok_or_else(|| anyhow!("{}", source.mistakes))?;
    newest.file.map_err(|mistake| anyhow!("{mistake}"))
}
