//! `modelyard optimize`: the smallest or fastest model whose answers are good enough.
//!
//! | module | does |
//! |---|---|
//! | `mod` | the order of things |
//! | `options` | what is asked |
//! | `data` | examples to compare by, and to take ranges from |
//! | `search` | tries one candidate after the other |
//! | `candidate` | makes a model of a recipe |
//! | `measure` | runs it beside the original |
//! | `sensitivity` | which nodes lose most by integers |
//! | `school` | where candidates learn from the original |
//! | `kept` | candidates that took long to make |
//! | `record` | what was tried, on disk |
//! | `passes` | passes alone, without a search |
//! | `report`, `histograms`, `text`, `page`, `plots` | what is told: JSON, lines, HTML, pictures |

mod candidate;
mod data;
mod histograms;
mod kept;
mod measure;
mod options;
mod page;
mod passes;
mod plots;
mod record;
mod report;
mod school;
mod search;
mod sensitivity;
mod text;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::rewrite::Target;
use modelyard_optimize::search::Budget;

use super::convert::aside::Aside;
use crate::cli::Globals;
use crate::config::Config;
use crate::data::args::DataArgs;
use crate::exit::{Exit, ExitWith};
use crate::files;
use crate::observe::progress::Progress;
use crate::optimizing::answers::Question;
use crate::optimizing::pace::Batch;
use crate::optimizing::prepare;
use crate::optimizing::sample::Sample;
use crate::optimizing::workshop::Workshop;
use crate::source::labels;
use crate::training::interrupt::Interrupt;
use candidate::Maker;
use data::Data;
use kept::Kept;
use measure::Bench;
pub(crate) use options::Args;
use report::Report;
use school::School;
use search::Search;

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if args.passes.list_passes {
        return passes::list();
    }
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let model = passes::needed(&args.model, "a MODEL").exit_with(Exit::Usage)?;
    let output = passes::needed(&args.output, "--output").exit_with(Exit::Usage)?;
    if args.passes.passes_only {
        return passes::run(args, (model, output), &config);
    }
    let data =
        passes::needed(&args.data.0, "--data to compare answers on").exit_with(Exit::Usage)?;
    search_best(args, (model, output, data), &config)
}

/// Searches, and writes what was found.
fn search_best(
    args: &Args,
    (model, output, place): (&Path, &Path, &DataArgs),
    config: &Config,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let progress = Progress::unless(args.json);
    let read = || prepare::read(model, &config.model_limits);
    let original = progress.spin("reading the model", read)?;
    let data = Data::open(args, place, &original, &progress)?;
    let workshop = Workshop::new(config)?;
    let calibration = data.calibration(args, &original)?;
    let bench = bench(args, &original, (&data, &workshop), &progress)?;
    let interrupt = Interrupt::listen().context("failed to listen for ctrl-C")?;
    let folder = beside(output, "search");
    if args.fresh {
        // Nothing to forget is as good.
        let _ = std::fs::remove_dir_all(&folder);
    }
    let deadline = start + args.time;
    let school = School {
        data: (&data.all, &place.data),
        interrupt: &interrupt,
        deadline,
        seed: args.seed,
        workshop: &workshop,
        progress: &progress,
    };
    let fuse = match bench.original.engine {
        "onnxruntime" => Target::OnnxRuntime,
        _ => Target::Standard,
    };
    let maker = Maker::new(
        (&original, &config.model_limits),
        Some(&calibration),
        (&school, Kept::new(&folder, &config.model_limits)),
        fuse,
    );
    let mut search = Search {
        goal: args.goal.goal(),
        budget: Budget { drop: args.max_accuracy_drop },
        deadline,
        bench: &bench,
        maker,
        interrupt: &interrupt,
        progress: &progress,
        sensitivities: Vec::new(),
    };
    let key = record::Key::of((model, &original), (&bench, &calibration), (args, config))?;
    let found = search.run(&folder, &key)?;
    if interrupt.came() {
        let again = match args.fresh {
            false => "stopped; the same command goes on where this one was",
            true => "stopped; the same command without --fresh goes on where this one was",
        };
        return Err(Exit::Interrupted.coded(anyhow!(again)));
    }
    let paths = Paths { model, output, data: &place.data };
    let report =
        Report::new((&paths, args.seed, &data), &mut search, (&found, &key), start.elapsed())?;
    publish(output, &report, found.best.as_ref().map(|best| &best.model))?;
    match args.json {
        true => crate::output::json(&report)?,
        false => crate::output::line(report.text())?,
    }
    match found.best {
        Some(_) => Ok(()),
        None => Err(Exit::Failure.coded(anyhow!("{}", report.nothing()))),
    }
}

/// What a search is from, to and by.
struct Paths<'a> {
    model: &'a Path,
    output: &'a Path,
    data: &'a Path,
}

fn bench<'a>(
    args: &Args,
    original: &Model,
    (data, workshop): (&'a Data, &Workshop),
    progress: &Progress,
) -> anyhow::Result<Bench<'a>> {
    let loaded = progress.spin("loading the model", || workshop.load_to_serve(original))?;
    let session = loaded.session.as_ref();
    let labels = labels::of_model(session.signature(), &original.metadata);
    let question = Question::new(session, (&data.all.task, labels), None)?;
    let examples = data.evaluation();
    let of = |most, batch| Sample::new(&data.all, examples, original, (most, batch, args.seed));
    let sample = of(args.samples, args.batch)?;
    let mut bar = progress.bar("asking the original", sample.batches() as u64);
    let answered = question.ask(session, &sample, || bar.step())?;
    let batches = [Batch::first(&of(1, 1)?)?, Batch::first(&of(args.batch, args.batch)?)?];
    Ok(Bench { question, sample, original: loaded, answered, batches, seed: args.seed })
}

/// The path of something that goes with a model's file.
fn beside(output: &Path, what: &str) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    output.with_file_name(name)
}

/// Writes the report, and the model with the report's digest.
fn publish(output: &Path, report: &Report, model: Option<&Model>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    files::write_atomically(&beside(output, "report.json"), text.as_bytes())?;
    files::write_atomically(&beside(output, "report.html"), page::page(report).as_bytes())?;
    let Some(model) = model else { return Ok(()) };
    let mut model = model.clone();
    let digest = record::digest([text.as_bytes()]);
    model.metadata.insert("modelyard.optimize_report_sha256".into(), digest);
    let aside = Aside::new(output).exit_with(Exit::Usage)?;
    write(&model, &aside.path, &WriteOptions::default())?;
    aside.publish(output)
}
