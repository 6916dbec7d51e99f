//! `modelyard predict`: a model once, on given inputs, here or on a server.
//!
//! [`input`] makes tensors of what the user gives, [`local`] or [`remote`] answers, [`show`]
//! prints.

mod answer;
mod classes;
pub(crate) mod input;
mod local;
pub(super) mod remote;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::ArgGroup;

use crate::cli::{EngineArgs, Globals};
use crate::config::kind::Kind;
use crate::config::units::Span;
use crate::config::value::Value;
use crate::exit::{Exit, ExitWith};
use answer::Answer;

/// Run a model once on given inputs, locally or on a server
///
/// An input is a file (.npy, .npz, JSON, PNG, JPEG or PGM, told apart by content), `-` for standard
/// input, or JSON on the command line. JSON is nested arrays, {"NAME": [...]}, {"instances":
/// [...]} or the body of an Open Inference Protocol request. Numbers are converted to the model's
/// datatype where no value changes (floats may be rounded). One example is taken for a batch of
/// one.
///
/// A picture becomes what the input's shape asks for: `[H*H]` or `[H,W]` grey, 1 or 3 channels first
/// or last; resized to H x W, scaled to 0..1 (0..255 for UINT8). Digits are expected white on
/// black; --invert turns black on white around.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("model or server").required(true).args(["path", "url"])))]
#[command(after_help = "Examples:\n  \
    modelyard predict model.onnx --input x.npy\n  \
    modelyard predict digits.onnx --input digit.png --invert --top 3\n  \
    modelyard predict model.onnx --input ids=ids.npy --input mask='[[1, 1, 1]]' --json\n  \
    modelyard predict --url http://localhost:8000 --model digits --input digits.npy \\\n    \
    --output probabilities.npy")]
pub(crate) struct Args {
    /// Model file, or folder with versions
    #[arg(value_name = "MODEL")]
    path: Option<String>,
    /// Server that speaks the Open Inference Protocol v2 over REST, instead of a local model
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Model on the server [default: the only one]
    #[arg(long, value_name = "NAME", requires = "url")]
    model: Option<String>,
    /// Version of the model [default: the newest]
    #[arg(long, value_name = "N")]
    model_version: Option<u64>,
    /// What to give the model; once for each input (repeatable)
    #[arg(long = "input", short, value_name = "[NAME=]FILE|-|JSON", required = true)]
    inputs: Vec<String>,
    /// Turn bright and dark of pictures around
    #[arg(long)]
    invert: bool,
    /// Write the outputs to a file: .npy (a single output), .npz or .json
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Classes to show for each row of a classifier's output
    #[arg(long, value_name = "K", default_value_t = 3)]
    top: usize,
    /// Class names, one a line [default: what the model brings along]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Longest wait for the server, such as 30s; a plain number is seconds
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = timeout)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let kind = Span { min: Duration::from_millis(1), max: Duration::from_secs(86_400) };
    let seconds = text.parse::<u64>().map(|seconds| format!("{seconds}s"));
    let value = Value::Text(seconds.unwrap_or_else(|_| text.to_owned()));
    kind.check(&value).ok_or_else(|| format!("expected {}", kind.expected()))
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    show::check_output(args.output.as_deref()).exit_with(Exit::Usage)?;
    let mut answer = match (&args.url, &args.path) {
        (Some(url), _) => remote::answer(url, args)?,
        (None, Some(path)) => local::answer(path, args, globals)?,
        (None, None) => bail!("neither a model nor --url was given"),
    };
    if let Some(path) = &args.labels {
        answer.labels = read_labels(path, &answer).exit_with(Exit::Usage)?;
    }
    show::show(&answer, args)
}

/// Names from a file, for every output that tells as many classes apart.
fn read_labels(
    path: &std::path::Path,
    answer: &Answer,
) -> anyhow::Result<modelyard_serving::Labels> {
    let text = String::from_utf8(crate::tensors::read_file(path)?)?;
    let labels: std::sync::Arc<[String]> = text.lines().map(|line| line.trim().into()).collect();
    let fits = |tensor: &modelyard_tensor::Tensor| tensor.shape().last() == Some(&labels.len());
    let given: modelyard_serving::Labels =
        answer.outputs.iter().map(|(_, tensor)| fits(tensor).then(|| labels.clone())).collect();
    if given.iter().all(Option::is_none) {
        bail!("'{}' has {} class names, which no output fits", path.display(), labels.len());
    }
    Ok(given)
}
