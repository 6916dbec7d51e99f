//! `modelyard convert`: a trained model of any framework as ONNX, proved to compute the same.
//!
//! | module | does |
//! |---|---|
//! | `mod` | the order of things: read, convert, write aside, prove, publish |
//! | [`aside`] | where the result waits until it is proved |
//! | `options` | from flags to what the conversion is asked for |
//! | [`prove`] | runs the result and compares it with everything that knows better |
//! | [`python`] | the answers of the source's own framework, where the machine has it |
//! | [`report`] | what is said about it |
//! | [`vocabulary`] | which operators are covered |

pub(super) mod aside;
mod judge;
pub(super) mod options;
pub(super) mod prove;
mod python;
pub(super) mod report;
mod vocabulary;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use modelyard_convert::{Conversion, SourceModel, convert, open};
use modelyard_graph::file::{WriteOptions, write};

use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::output;
use aside::Aside;
use report::Report;

/// Convert a trained model of another framework to ONNX
///
/// Reads Keras (.keras, .h5), TensorFlow (SavedModel, frozen graphs, .tflite), PyTorch (.pt2,
/// TorchScript, .pth and .safetensors with an architecture), MXNet, XGBoost, LightGBM, and ONNX
/// itself: recognized by content, without Python. The result is run and compared with an
/// independent evaluation of the source by its framework's own definitions; where they differ,
/// nothing is written.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard convert mobilenet.keras -o mobilenet.onnx\n  \
    modelyard convert net.pt2 -o net.onnx --explain\n  \
    modelyard convert saved_model/ -o net.onnx --reference inputs.npz outputs.npz\n  \
    modelyard convert weights.pth --architecture resnet50 -o resnet50.onnx\n  \
    modelyard convert --list-ops tflite")]
pub(crate) struct Args {
    /// Model file or folder
    #[arg(value_name = "SOURCE", required_unless_present = "list_ops")]
    source: Option<PathBuf>,
    /// Where the ONNX model goes [default: the source's name with .onnx, in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print which operators or layers of this framework are covered
    #[arg(long, value_name = "FRAMEWORK", value_enum, conflicts_with = "source")]
    list_ops: Option<vocabulary::Framework>,
    /// Print what became of each layer or node of the source
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    conversion: options::ConversionArgs,
    #[command(flatten)]
    proof: prove::ProofArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if let Some(framework) = args.list_ops {
        return vocabulary::print(framework, args.json);
    }
    // clap asks for it unless `--list-ops` was there.
    let source = args.source.as_deref().context("expected a SOURCE to convert")?;
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let options = args.conversion.options().exit_with(Exit::Usage)?;
    let target = target(source, args.output.as_deref()).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.json);
    let start = Instant::now();
    let limits = options::limits(&config);
    let work = || {
        let model = open(source, &options, &limits)?;
        let conversion = convert(model.as_ref(), &options)?;
        Ok((model, conversion))
    };
    let done = progress.spin("converting the model", work);
    let (model, mut conversion) = done.map_err(|error| refused(source, error))?;
    let converted = start.elapsed();
    sign(&mut conversion, model.as_ref(), source, args);
    let aside = Aside::new(&target)?;
    let steps = std::mem::take(&mut conversion.steps);
    write_model(&conversion, &aside.path, args, &progress)?;
    let context = prove::Context {
        config: &config,
        source,
        progress: &progress,
        direction: prove::Direction::Convert,
        tolerances: &BTreeMap::new(),
    };
    let proof = prove::prove(
        &args.proof,
        (model.as_ref(), &options.values),
        &conversion,
        &aside.path,
        &context,
    )?;
    aside.publish(&target)?;
    let report =
        Report::new((source, &target), model.as_ref(), &conversion, (&steps, proof), converted);
    match args.json {
        true => output::json(&report),
        false => Ok(output::line(report.text(args.explain))?),
    }
}

/// The error of a conversion, with the source's name and an exit code.
fn refused(source: &Path, error: modelyard_convert::ConvertError) -> anyhow::Error {
    let exit = match error {
        modelyard_convert::ConvertError::Option(_) => Exit::Usage,
        _ => Exit::Model,
    };
    exit.coded(
        anyhow::Error::new(error).context(format!("failed to convert '{}'", source.display())),
    )
}

/// Where the model goes.
fn target(source: &Path, output: Option<&Path>) -> anyhow::Result<PathBuf> {
    let target = match output {
        Some(path) => path.to_path_buf(),
        None => {
            let stem = source.file_stem().with_context(|| {
                format!("'{}' has no name to call the model by; give --output", source.display())
            })?;
            PathBuf::from(format!("{}.onnx", stem.display()))
        }
    };
    let same = |path: &Path| path.canonicalize().ok();
    if same(&target).is_some_and(|target| same(source) == Some(target)) {
        bail!("'{}' is the source itself; give another --output", target.display());
    }
    if target.is_dir() {
        bail!("'{}' is a folder; --output is the file to write", target.display());
    }
    Ok(target)
}

/// What the file says about itself.
fn sign(conversion: &mut Conversion, source: &dyn SourceModel, path: &Path, args: &Args) {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let metadata = &mut conversion.model.metadata;
    let mut set = |key: &str, value: String| {
        metadata.insert(key.to_owned(), value);
    };
    let producer = source.producer();
    set("modelyard.source", format!("{} ({producer})", source.format()));
    set("modelyard.source_file", file.unwrap_or_default());
    set("modelyard.verified", args.proof.stated().to_owned());
    if !conversion.labels.is_empty() {
        set("labels", serde_json::json!(conversion.labels).to_string());
    }
    if !conversion.notes.is_empty() {
        set("modelyard.notes", conversion.notes.join("\n"));
    }
}

fn write_model(
    conversion: &Conversion,
    path: &Path,
    args: &Args,
    progress: &Progress,
) -> anyhow::Result<()> {
    let total = conversion.model.constants().filter_map(|constant| constant.byte_len());
    let bar = RefCell::new(progress.bytes("writing", total.sum::<usize>() as u64));
    let options = WriteOptions {
        external: args.conversion.external(),
        progress: Some(&|bytes, _| bar.borrow_mut().stand_at(bytes)),
        ..WriteOptions::default()
    };
    write(&conversion.model, path, &options)?;
    Ok(())
}
