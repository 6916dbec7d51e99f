//! `modelyard prune`: a model with fewer channels, or fewer weights that are not zero.

mod latency;
mod options;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use modelyard_engine::Session;
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_optimize::prune::{self, Cost};
use modelyard_optimize::statistics;
use modelyard_train::data::Examples;

use super::convert::aside::Aside;
use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::data::args::DataIfAny;
use crate::data::{DataSet, Task};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::optimizing::answers::{Agreement, Question};
use crate::optimizing::prepare;
use crate::optimizing::recover::{self, Lessons};
use crate::optimizing::sample::{self, Sample};
use crate::optimizing::workshop::Workshop;
use crate::output;
use crate::source::labels;
use crate::training::interrupt::Interrupt;
use crate::training::recipe::Recipe;
use latency::Stopwatch;
use options::{PruneArgs, Work};
use report::{Measured, Report, gzipped, named, seconds, thinned};

/// Remove channels, heads and neurons that matter least, and train what is left to make up for it
///
/// What is removed goes from every tensor that has it, through residual additions, concatenations,
/// depthwise convolutions and reshapes: the model is smaller and faster in any engine, and computes what
/// the original would with all weights of the removed channels zero. With --data it is then trained, by
/// default to answer as the original does.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard prune net.onnx -o small.onnx --flops 0.5 --data photos --epochs 10\n  \
    modelyard prune net.onnx -o fast.onnx --latency 0.5 --data photos --epochs 10\n  \
    modelyard prune net.onnx -o small.onnx --channels 0.5 --importance taylor --ranking global \
    --data photos --rounds 3\n  \
    modelyard prune net.onnx -o sparse.onnx --sparsity 0.9 --data photos")]
pub(crate) struct Args {
    /// The model of floats
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Where the pruned model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    prune: PruneArgs,
    #[command(flatten)]
    data: DataIfAny,
    /// Examples that the result is compared with the original on [default: all of the test part; of
    /// training examples 2000]
    #[arg(long, value_name = "N", requires = "data")]
    samples: Option<usize>,
    #[command(flatten)]
    recipe: Recipe,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let mut work = args.prune.work(args.data.0.is_some()).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.json);
    let start = Instant::now();
    let original =
        progress.spin("reading the model", || prepare::read(&args.model, &config.model_limits))?;
    let ready = prune::ready(&original).map_err(|error| Exit::Model.coded(error.into()))?;
    let data = sample::read(args.data.0.as_ref(), &original, &progress)?;
    let workshop = Workshop::new(&config)?;
    let interrupt = Interrupt::listen().context("failed to listen for signals")?;
    let lessons = match (&data, &args.data.0) {
        (Some(data), Some(place)) => Some(Lessons {
            command: "prune",
            data: (data, &place.data),
            recipe: &args.recipe,
            recovery: args.prune.recovery(&data.task).exit_with(Exit::Usage)?,
            batches: args.prune.taylor_batches,
            threads: threads(args),
            workshop: &workshop,
            progress: &progress,
            tells: !args.json,
            interrupt: &interrupt,
            deadline: None,
        }),
        _ => None,
    };
    let stopwatch = match (&data, &work) {
        (Some(data), Work::Channels(_) | Work::Time(..)) => {
            Some(Stopwatch::new(&original, data, &workshop, args.recipe.seed())?)
        }
        _ => None,
    };
    if let (Work::Time(plan, share), Some(stopwatch)) = (&work, &stopwatch) {
        let mut plan = plan.clone();
        plan.options.target = stopwatch.target(&ready, (&plan.options, *share), &progress)?;
        work = Work::Channels(plan);
    }
    let aside = Aside::new(&args.output).exit_with(Exit::Usage)?;
    let (mut model, mut report) = make(args, &ready, &work, lessons.as_ref())?;
    model.metadata.insert("modelyard.pruned".into(), summary(&report));
    if let Some(data) = &data {
        report.measured = Some(compare(args, (&original, &model), data, &workshop, &progress)?);
    }
    if let Some(stopwatch) = &stopwatch {
        report.latency = Some(progress.spin("timing", || stopwatch.latency(&model))?);
    }
    write(&model, &aside.path, &WriteOptions::default())?;
    aside.publish(&args.output)?;
    let (before, after) = (original.encode(), model.encode());
    (report.bytes_before, report.bytes_after) = (before.len() as u64, after.len() as u64);
    if let Work::Weights(..) = work {
        report.gzip_bytes_before = Some(gzipped(&before)?);
        report.gzip_bytes_after = Some(gzipped(&after)?);
    }
    report.seconds = seconds(start.elapsed());
    match args.json {
        true => output::json(&report),
        false => Ok(output::line(report.text())?),
    }
}

fn threads(args: &Args) -> usize {
    let stated = args.engine.threads.as_ref().and_then(|threads| threads.parse().ok());
    stated.unwrap_or_else(modelyard_engine::threads::budget)
}

/// The pruned model, and what there is to say of it so far.
fn make(
    args: &Args,
    ready: &Model,
    work: &Work,
    lessons: Option<&Lessons<'_>>,
) -> anyhow::Result<(Model, Report)> {
    let mut report = Report {
        model: named(&args.model),
        output: named(&args.output),
        before: Cost::of(ready),
        after: Cost::of(ready),
        bytes_before: 0,
        bytes_after: 0,
        gzip_bytes_before: None,
        gzip_bytes_after: None,
        seconds: 0.0,
        measured: None,
        latency: None,
        groups: Vec::new(),
        refused: Vec::new(),
        weights: Vec::new(),
        training: Vec::new(),
    };
    let model = match work {
        Work::Channels(plan) | Work::Time(plan, _) => {
            let made = recover::prune_and_recover(ready, plan, lessons)?;
            report.after = made.report.after;
            report.groups = made.report.groups;
            report.refused = made.report.refused;
            report.training = made.outcomes;
            made.model
        }
        Work::Weights(sparsity, exclude) => {
            let made = recover::thin_out_and_recover(ready, (sparsity, exclude), lessons)?;
            let (model, masks, outcome) = made;
            report.weights = thinned(&masks);
            report.training.extend(outcome);
            model
        }
    };
    Ok((model, report))
}

/// What the model's metadata says.
fn summary(report: &Report) -> String {
    match report.weights.is_empty() {
        true => format!(
            "channels: {} of {} FLOPs, {} of {} parameters",
            report.after.flops,
            report.before.flops,
            report.after.parameters,
            report.before.parameters
        ),
        false => "single weights are zero".into(),
    }
}

/// How good the original and the pruned model are, and how alike.
fn compare(
    args: &Args,
    (original, made): (&Model, &Model),
    data: &DataSet,
    workshop: &Workshop,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    const TRAINING_SAMPLES: usize = 2000;
    let labelled = !matches!(data.task, Task::Unlabelled);
    let (part, examples): (_, &dyn Examples) = match data.test.as_ref().filter(|_| labelled) {
        Some(test) => ("test", test.as_ref()),
        None => ("train", data.train.as_ref()),
    };
    let most = if part == "test" { examples.len() } else { TRAINING_SAMPLES };
    let size = (args.samples.unwrap_or(most), 64, args.recipe.seed());
    let sample = Sample::new(data, examples, original, size)?;
    let load = |model| progress.spin("loading the model", || workshop.load(model));
    let first = load(original)?;
    let labels = labels::of_model(first.session.signature(), &original.metadata);
    let question = Question::new(first.session.as_ref(), (&data.task, labels), None)?;
    let mut bar = progress.bar("comparing", 2 * sample.batches() as u64);
    let mut ask = |session: &dyn Session| question.ask(session, &sample, || bar.step());
    let before = ask(first.session.as_ref())?;
    let second = load(made)?;
    let after = ask(second.session.as_ref())?;
    let (right_before, right_after) = (before.right(), after.right());
    let has_classes = !right_before.is_empty() && right_before.len() == right_after.len();
    Ok(Measured {
        engine: second.engine,
        part,
        agreement: Agreement::between(&before, &after),
        before: before.score(),
        after: after.score(),
        difference: has_classes.then(|| statistics::paired_accuracy(&right_before, &right_after)),
    })
}
