//! `modelyard evaluate`: how good a model's answers are on data whose answers are known.
//!
//! The model is loaded as for serving, through any engine; `data` reads the examples, [`measure`]
//! runs them in batches, `metrics` turns answers into numbers.

pub(crate) mod answers;
pub(crate) mod classes;
mod measure;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use modelyard_train::data::Examples;
use serde::Serialize;

use super::local_model::{self, LocalModel};
use crate::cli::{EngineArgs, Globals};
use crate::data::args::DataArgs;
use crate::data::{DataSet, Options};
use crate::exit::{Exit, ExitWith};
use crate::metrics::classification::Classification;
use crate::metrics::regression::Regression;
use crate::metrics::{confusion, text};
use crate::observe::progress::Progress;
use crate::tensors::image;
use crate::{files, output};

/// Measure how good a model's answers are on data
///
/// For classes: accuracy, top-k, precision, recall and F1 of each class, the confusion matrix, and
/// cross-entropy where the model gives probabilities. For values: mean squared and absolute error
/// and R². Inputs of the data go into those of the model by name, or where there is one each by
/// shape; pictures in the order of channels that the model takes, resized to its size, 0 to 1.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard evaluate digits.onnx --data examples/digits\n  \
    modelyard evaluate net.onnx --data photos --confusion confusion.svg --skip-bad\n  \
    modelyard evaluate iris.onnx --data iris.csv --target species --split all --json")]
pub(crate) struct Args {
    /// Model file, or folder with versions
    #[arg(value_name = "MODEL")]
    path: String,
    /// Version of the model [default: the newest]
    #[arg(long, value_name = "N")]
    model_version: Option<u64>,
    #[command(flatten)]
    data: DataArgs,
    /// Which part of the data [default: test where the data has one, else all]
    #[arg(long, value_enum)]
    split: Option<Split>,
    /// Output with the scores or values [default: the one with classes, or the first of floats]
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Count an answer as right when the class is among the K highest, for each of these
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_value = "1,5")]
    top_k: Vec<NonZeroUsize>,
    /// Examples that run at once, where the model takes any number
    #[arg(long, value_name = "N", default_value = "64", value_parser = batch)]
    batch: usize,
    /// Draw the confusion matrix into this file
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Split {
    /// The examples set apart
    Test,
    /// The examples to learn from
    Train,
    /// Both
    All,
}

/// What was measured.
#[derive(Serialize)]
struct Report {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    engine: &'static str,
    data: String,
    split: Split,
    /// Time for reading, running and measuring.
    seconds: f64,
    /// Entries left out of all of the data, by place and reason.
    skipped: Vec<Skipped>,
    #[serde(flatten)]
    measures: Measures,
}

#[derive(Serialize)]
struct Skipped {
    place: String,
    reason: String,
}

/// The measures of the data's task.
#[derive(Serialize)]
#[serde(tag = "task", rename_all = "lowercase")]
enum Measures {
    Classification(Classification),
    Regression(Regression),
}

fn batch(text: &str) -> Result<usize, String> {
    const MAX: usize = 65_536;
    let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MAX}"))
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let progress = Progress::unless(args.json);
    let model =
        local_model::load((&args.path, args.model_version), &args.engine, globals, &progress)?;
    let options = options(args, &model);
    let data = progress.spin("reading the data", || args.data.open(&options))?;
    let (split, parts) = parts(&data, args.split).exit_with(Exit::Usage)?;
    let (measures, time) = measure::measure(&model, &data, &parts, (args, &progress))?;
    draw_confusion(args, &model, &measures)?;
    let skipped = data.skipped.into_iter().map(|(place, reason)| Skipped { place, reason });
    let report = Report {
        model: model.name,
        version: model.version,
        engine: model.loaded.engine,
        data: args.data.data.display().to_string(),
        split,
        seconds: time.as_secs_f64(),
        skipped: skipped.collect(),
        measures,
    };
    if args.json { output::json(&report) } else { Ok(output::line(report.text(time))?) }
}

/// How to read the data: pictures as the model takes them, unless told otherwise.
fn options(args: &Args, model: &LocalModel) -> Options {
    let mut options = args.data.options();
    if let [spec] = model.loaded.session.signature().inputs.as_slice()
        && let Some((height, width, channels)) = image::size(spec)
    {
        options.image_channels = Some(channels);
        options.image_size = options.image_size.or(height.zip(width));
    }
    options
}

/// The examples to measure by.
fn parts(data: &DataSet, split: Option<Split>) -> anyhow::Result<(Split, Vec<&dyn Examples>)> {
    let train = data.train.as_ref();
    Ok(match (split, &data.test) {
        (None | Some(Split::Test), Some(test)) => (Split::Test, vec![test.as_ref()]),
        (Some(Split::Test), None) => {
            bail!("the data has no test part: leave --split out to measure by all of it")
        }
        (Some(Split::Train), _) => (Split::Train, vec![train]),
        (Some(Split::All), Some(test)) => (Split::All, vec![train, test.as_ref()]),
        (None | Some(Split::All), None) => (Split::All, vec![train]),
    })
}

fn draw_confusion(args: &Args, model: &LocalModel, measures: &Measures) -> anyhow::Result<()> {
    match (&args.confusion, measures) {
        (None, _) => Ok(()),
        (Some(path), Measures::Classification(found)) => {
            let data = args.data.data.file_name().unwrap_or_default().to_string_lossy();
            let title = format!("{} on {data}", model.name);
            files::write_atomically(path, confusion::draw(&title, found).as_bytes())
        }
        (Some(_), Measures::Regression(_)) => {
            Err(anyhow!("--confusion is for classes, and the targets are values"))
                .exit_with(Exit::Usage)
        }
    }
}

impl Report {
    fn text(&self, time: Duration) -> String {
        /// Most entries that are listed.
        const LISTED: usize = 20;
        let (examples, measures) = match &self.measures {
            Measures::Classification(found) => (found.examples, text::classification(found)),
            Measures::Regression(found) => (found.examples, text::regression(found)),
        };
        let split = match self.split {
            Split::Test => "the test part of ",
            Split::Train => "the training part of ",
            Split::All => "",
        };
        let version = self.version.as_ref().map(|v| format!(" version {v}")).unwrap_or_default();
        let mut text = format!(
            "{}{version} (engine {}): {examples} examples of {split}'{}' in {:.1} s\n",
            self.model,
            self.engine,
            self.data,
            time.as_secs_f64(),
        );
        if !self.skipped.is_empty() {
            let count = self.skipped.len();
            text.push_str(&format!("left out what cannot be used, {count} in all:\n"));
            for Skipped { place, reason } in self.skipped.iter().take(LISTED) {
                text.push_str(&format!("  {place}: {reason}\n"));
            }
        }
        text.push('\n');
        text.push_str(measures.trim_end());
        text
    }
}
