//! `modelyard export`: an ONNX model for TensorFlow Lite or TensorFlow, proved to compute the same.
//!
//! | module | does |
//! |---|---|
//! | `mod` | the order of things: read, export, write aside, prove, publish |
//! | [`report`] | what is said about it |

mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use modelyard_convert::export::{ExportOptions, Exported, Target, export, operators, read_back};
use modelyard_convert::{Conversion, ConvertError, Limits};
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, read_whole, write};

use super::convert::aside::Aside;
use super::convert::options::limits;
use super::convert::prove::{Context, Direction, Proof, TrialArgs, prove_by_evaluator};
use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::output;
use report::Report;

/// Write an ONNX model for TensorFlow Lite or TensorFlow
///
/// Inputs and outputs keep their names, shapes and order; images inside the model have their
/// channels last, as these runtimes want them. Quantized models stay quantized. Operators without a
/// counterpart are all named before anything is written. What was written is read back and evaluated
/// by its format's own definitions, and compared with the ONNX model in an engine; where they
/// differ, nothing is written. A model of another framework is converted first: `modelyard convert`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard export model.onnx --to tflite -o model.tflite\n  \
    modelyard export model.onnx --to savedmodel -o saved_model\n  \
    modelyard export model.onnx --to tflite --channels-last --explain\n  \
    modelyard export --list-ops tflite")]
pub(crate) struct Args {
    /// ONNX model
    #[arg(value_name = "MODEL", required_unless_present = "list_ops")]
    model: Option<PathBuf>,
    /// What to write
    #[arg(long, value_name = "TARGET", value_enum, required_unless_present = "list_ops")]
    to: Option<To>,
    /// Where it goes, a file or a folder [default: the model's name, in this folder]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Print which operators of ONNX can be written for this target
    #[arg(long, value_name = "TARGET", value_enum, conflicts_with = "model")]
    list_ops: Option<To>,
    /// Take and give images (inputs and outputs of 3 to 5 dimensions) with their channels last
    #[arg(long)]
    channels_last: bool,
    /// Size of the first dimension of inputs, where that is open [default: it stays open]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Print what became of each node
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    trials: TrialArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// TensorFlow Lite: one file
    Tflite,
    /// TensorFlow's SavedModel: a folder
    Savedmodel,
}

impl To {
    fn target(self) -> Target {
        match self {
            To::Tflite => Target::Tflite,
            To::Savedmodel => Target::SavedModel,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if let Some(target) = args.list_ops {
        let names = operators(target.target());
        return match args.json {
            true => output::json(&names),
            false => Ok(output::line(names.join("\n"))?),
        };
    }
    // clap asks for both unless `--list-ops` was there.
    let path = args.model.as_deref().context("expected a MODEL to export")?;
    let to = args.to.context("expected --to with what to write")?.target();
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let target = place(path, to, args.output.as_deref()).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.json);
    let start = Instant::now();
    let limits = limits(&config);
    let work = || {
        let model = read(path, &limits)?;
        exported(&model, to, args, &limits)
    };
    let exported =
        progress.spin("exporting the model", work).map_err(|error| refused(path, error))?;
    let time = start.elapsed();
    let aside = Aside::new(&target)?;
    write_files(&exported, &aside.path)?;
    let context = Context {
        config: &config,
        source: path,
        progress: &progress,
        direction: Direction::Export,
        tolerances: &exported.tolerances,
    };
    let proof = prove(args, &exported, (&aside.path, to, &limits), &context)?;
    aside.publish(&target)?;
    let report = Report::new((path, &target), to, &exported, proof, time);
    match args.json {
        true => output::json(&report),
        false => Ok(output::line(report.text(args.explain))?),
    }
}

fn read(path: &Path, limits: &Limits) -> Result<Model, ConvertError> {
    let bounds = modelyard_graph::Limits {
        external_bytes: limits.file_bytes,
        nodes: limits.nodes,
        tensor_bytes: limits.tensor_bytes,
        depth: limits.depth,
        ..modelyard_graph::Limits::default()
    };
    read_whole(path, &bounds).map_err(ConvertError::Onnx)
}

fn exported(
    model: &Model,
    to: Target,
    args: &Args,
    limits: &Limits,
) -> Result<Exported, ConvertError> {
    let labels = model.metadata.get("labels");
    let labels = labels.and_then(|labels| serde_json::from_str(labels).ok()).unwrap_or_default();
    let batch = args.batch.map(|batch| batch as usize);
    let verified = if args.trials.no_verify { "no" } else { "reference evaluator" };
    let options = ExportOptions {
        channels_last: args.channels_last,
        batch,
        labels,
        verified: Some(verified.into()),
    };
    export(model, to, &options, limits)
}

/// The error of an export, with the model's name and an exit code.
fn refused(path: &Path, error: ConvertError) -> anyhow::Error {
    let exit = match error {
        ConvertError::Option(_) => Exit::Usage,
        _ => Exit::Model,
    };
    let context = format!("failed to export '{}'", path.display());
    exit.coded(anyhow::Error::new(error).context(context))
}

/// Where the result goes.
fn place(model: &Path, to: Target, output: Option<&Path>) -> anyhow::Result<PathBuf> {
    let target = match output {
        Some(path) => path.to_path_buf(),
        None => {
            let stem = model.file_stem().with_context(|| {
                format!("'{}' has no name to call the result by; give --output", model.display())
            })?;
            match to {
                Target::Tflite => PathBuf::from(format!("{}.tflite", stem.display())),
                Target::SavedModel => PathBuf::from(stem),
            }
        }
    };
    let real = |path: &Path| path.canonicalize().ok();
    if real(&target).is_some_and(|target| real(model) == Some(target)) {
        bail!("'{}' is the model itself; give another --output", target.display());
    }
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        bail!("'{}' is no folder; make it, or give another --output", parent.display());
    }
    let is_folder = target.is_dir() || target.as_os_str().as_encoded_bytes().ends_with(b"/");
    match to {
        Target::Tflite if is_folder => {
            bail!("'{}' is a folder; --output is the file to write", target.display())
        }
        Target::SavedModel if target.exists() => bail!(
            "'{}' exists already; remove it, or give --output a folder that does not exist",
            target.display()
        ),
        _ => Ok(target),
    }
}

/// Writes one file at `path`, or several below it.
fn write_files(exported: &Exported, path: &Path) -> anyhow::Result<()> {
    for (name, bytes) in &exported.files {
        let path = if name.as_os_str().is_empty() { path.to_path_buf() } else { path.join(name) };
        let failed = || format!("failed to write '{}'", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(failed)?;
        }
        std::fs::write(&path, bytes).with_context(failed)?;
    }
    Ok(())
}

/// Reads back what was written, and compares it with the ONNX model in an engine.
fn prove(
    args: &Args,
    exported: &Exported,
    (path, to, limits): (&Path, Target, &Limits),
    context: &Context<'_>,
) -> anyhow::Result<Proof> {
    if args.trials.no_verify {
        return Ok(Proof { engine: "", legs: Vec::new() });
    }
    let written =
        read_back(exported, path, to, limits).context("failed to read the result back")?;
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let model = folder.path().join("model.onnx");
    write(&exported.model, &model, &WriteOptions::default())?;
    let conversion = Conversion::new(exported.model.clone(), Vec::new());
    prove_by_evaluator(&args.trials, written.as_ref(), &conversion, &model, context)
}
