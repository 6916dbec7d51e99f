//! `modelyard quantize`: a model of small integers, the way the caller wants it.

mod integers;
mod options;
mod report;
mod training;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use modelyard_engine::Session;
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_optimize::quantize::{self, Quantized};

use super::convert::aside::Aside;
use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::data::DataSet;
use crate::data::args::DataIfAny;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::optimizing::answers::{Agreement, Question};
use crate::optimizing::improve::Improver;
use crate::optimizing::prepare;
use crate::optimizing::sample::{self, Sample};
use crate::optimizing::workshop::Workshop;
use crate::output;
use crate::source::labels;
use integers::{Static, needed, refused};
use options::{Mode, QuantizeArgs};
use report::{Improved, Measured, Report};
use training::TrainingArgs;

/// Make a model of small integers: smaller, and faster where the processor multiplies them
///
/// Static quantization takes ranges of activations from examples (--data) and is what convolutions
/// want; dynamic quantization needs none and is for products of matrices; int4 makes weights an eighth
/// and leaves arithmetic to floats; fp16 and bf16 halve the file. The result is compared with the
/// original on the examples.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard quantize digits.onnx -o digits-int8.onnx --data examples/digits\n  \
    modelyard quantize encoder.onnx -o encoder-int8.onnx --mode dynamic\n  \
    modelyard quantize net.onnx -o net-int8.onnx --data photos --calibrator percentile=99.99 \
    --exclude '/head/*'")]
pub(crate) struct Args {
    /// The model of floats
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Where the quantized model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    quantize: QuantizeArgs,
    #[command(flatten)]
    training: TrainingArgs,
    #[command(flatten)]
    data: DataIfAny,
    /// Examples that are looked at
    #[arg(long, value_name = "N", default_value = "256", requires = "data")]
    samples: usize,
    /// Examples that run at once, where the model takes any number
    #[arg(long, value_name = "N", default_value = "16", requires = "data")]
    batch: usize,
    /// Decides which examples are looked at
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.json);
    let start = Instant::now();
    let original =
        progress.spin("reading the model", || prepare::read(&args.model, &config.model_limits))?;
    let data = sample::read(args.data.0.as_ref(), &original, &progress)?;
    let workshop = Workshop::new(&config)?;
    let sample = match &data {
        Some(data) => {
            let size = (args.samples, args.batch, args.seed);
            Some(Sample::new(data, data.train.as_ref(), &original, size)?)
        }
        None => None,
    };
    let prepared = prepare::prepared(&original, &config.model_limits)?;
    let (made, improved) =
        make(args, &prepared, (data.as_ref().zip(sample.as_ref()), &workshop), &progress)?;
    let seconds = start.elapsed();
    let agreement = match (&data, &sample) {
        (Some(data), Some(sample)) => {
            Some(compare((&original, &made.model), (data, sample), &workshop, &progress)?)
        }
        _ => None,
    };
    let aside = Aside::new(&args.output).exit_with(Exit::Usage)?;
    write(&made.model, &aside.path, &WriteOptions::default())?;
    aside.publish(&args.output)?;
    let report = Report::new((&args.model, &args.output), (&made, improved), (agreement, seconds))?;
    match args.json {
        true => output::json(&report),
        false => Ok(output::line(report.text())?),
    }
}

/// The quantized model, and what was done for it.
fn make(
    args: &Args,
    model: &Model,
    (examples, workshop): (Option<(&DataSet, &Sample<'_>)>, &Workshop),
    progress: &Progress,
) -> anyhow::Result<(Quantized, Improved)> {
    let mode = args.quantize.mode(examples.is_some());
    let options = args.quantize.options(mode).exit_with(Exit::Usage)?;
    if args.training.qat && mode != Mode::Static {
        return Err(anyhow::anyhow!("--qat goes with --mode static")).exit_with(Exit::Usage);
    }
    let plain = |made: Result<Quantized, _>| Ok((made.map_err(refused)?, Improved::default()));
    let (mut made, improved) = match mode {
        Mode::Static => {
            let (data, sample) = needed(examples)?;
            let path = args.data.0.as_ref().map_or(Path::new(""), |data| data.data.as_path());
            Static {
                args: &args.quantize,
                options,
                improver: Improver { sample, workshop, progress },
                data: (data, path),
                training: args.training.qat.then(|| args.training.recipe(args.seed)),
            }
            .make(model)
        }
        Mode::Dynamic => plain(quantize::dynamic(model, &options)),
        Mode::Int4 => plain(quantize::blockwise(model, args.quantize.blocks(), &options)),
        mode => plain(quantize::narrowed(model, mode.narrow())),
    }?;
    made.model
        .metadata
        .insert("modelyard.quantized".into(), args.quantize.text(mode, args.training.qat));
    Ok((made, improved))
}

/// How good the original and the quantized model are, and how alike.
fn compare(
    (original, made): (&Model, &Model),
    (data, sample): (&DataSet, &Sample<'_>),
    workshop: &Workshop,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    let load = |model| progress.spin("loading the model", || workshop.load(model));
    let first = load(original)?;
    let labels = labels::of_model(first.session.signature(), &original.metadata);
    let question = Question::new(first.session.as_ref(), (&data.task, labels), None)?;
    let mut bar = progress.bar("comparing", 2 * sample.batches() as u64);
    let mut ask = |session: &dyn Session| question.ask(session, sample, || bar.step());
    let before = ask(first.session.as_ref())?;
    let second = load(made)?;
    let after = ask(second.session.as_ref())?;
    Ok(Measured {
        engine: second.engine,
        agreement: Agreement::between(&before, &after),
        before: before.score(),
        after: after.score(),
    })
}

/// Bytes of a model's file, with what lies beside it.
fn bytes(path: &Path) -> anyhow::Result<u64> {
    let size = |path: &Path| path.metadata().map(|metadata| metadata.len());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".data");
    let own = size(path).with_context(|| format!("failed to look at '{}'", path.display()))?;
    Ok(own + size(&path.with_file_name(name)).unwrap_or(0))
}
