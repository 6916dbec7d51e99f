//! `modelyard optimize`: the smallest or fastest model whose answers are good enough.
//!
//! | module | does |
//! |---|---|
//! | `mod` | what is asked, and the order of things |
//! | `search` | tries one candidate after the other |
//! | `candidate` | makes a model of a recipe |
//! | `measure` | runs it beside the original |
//! | `sensitivity` | which nodes lose most by integers |
//! | `school` | candidates with fewer channels, taught again |
//! | `record` | what was tried, on disk |
//! | `passes` | passes alone, without a search |
//! | `report`, `page`, `plots` | what is told: JSON, HTML, pictures |

mod candidate;
mod measure;
mod page;
mod passes;
mod plots;
mod record;
mod report;
mod school;
mod search;
mod sensitivity;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::rewrite::Target;
use modelyard_optimize::search::{Budget, Goal};
use modelyard_train::data::Examples;

use super::convert::aside::Aside;
use super::finetune::picture_options;
use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::data::DataSet;
use crate::data::args::{DataArgs, DataIfAny};
use crate::exit::{Exit, ExitWith};
use crate::files;
use crate::observe::progress::Progress;
use crate::optimizing::answers::Question;
use crate::optimizing::prepare;
use crate::optimizing::sample::Sample;
use crate::optimizing::workshop::Workshop;
use crate::source::labels;
use crate::training::interrupt::Interrupt;
use candidate::Maker;
use measure::{Batch, Bench};
use passes::PassArgs;
use report::Report;
use school::School;
use search::Search;

/// Find the smallest or fastest model whose answers are good enough
///
/// Candidates are made of the model: cleaned, with fewer bits, with fewer channels where it can be
/// trained; each is run beside the original on the engine and the machine that this command runs on.
/// The best that keeps the budget is written, with a report of all that was tried. Where the data has
/// no targets, the budget is for answers that differ from the original's.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard optimize digits.onnx -o digits-fast.onnx --data examples/digits\n  \
    modelyard optimize net.onnx -o net-small.onnx --data photos --for size \
    --max-accuracy-drop 1% --time 10m")]
pub(crate) struct Args {
    /// The model to start from
    #[arg(value_name = "MODEL", required_unless_present = "list_passes")]
    model: Option<PathBuf>,
    /// Where the best model goes; the report goes beside it
    #[arg(short, long, value_name = "FILE", required_unless_present = "list_passes")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: DataIfAny,
    /// Data to take ranges of activations from [default: the part of the data to learn from, or all]
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    /// How much worse answers may get: the part of the examples, such as 0.5%
    #[arg(long, value_name = "PART", default_value = "0.5%", value_parser = part)]
    max_accuracy_drop: f64,
    /// What is to get better
    #[arg(long = "for", value_enum, default_value = "latency")]
    goal: Wanted,
    /// Time after which no more candidates are tried, such as 90s, 30m or 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    time: Duration,
    /// Examples whose answers are compared
    #[arg(long, value_name = "N", default_value = "10000")]
    samples: usize,
    /// Examples that ranges are taken from
    #[arg(long, value_name = "N", default_value = "256")]
    calibration_samples: usize,
    /// Examples of a large batch
    #[arg(long, value_name = "N", default_value = "32")]
    batch: usize,
    /// Decides what is drawn by chance
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Forget what an earlier run of the same search measured
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    passes: PassArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What is to get better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wanted {
    /// Time of a single call
    Latency,
    /// Time per example in large batches
    Throughput,
    /// Size of the file
    Size,
    /// Memory of the loaded model
    Memory,
}

impl Wanted {
    fn goal(self) -> Goal {
        match self {
            Wanted::Latency => Goal::Latency,
            Wanted::Throughput => Goal::Throughput,
            Wanted::Size => Goal::Size,
            Wanted::Memory => Goal::Memory,
        }
    }
}

fn part(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let number = number.ok().filter(|part| (0.0..=1.0).contains(part));
    number.ok_or_else(|| format!("expected a part such as 0.5% or 0.005, found '{text}'"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" | "" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number = number.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let total = number.zip(seconds).map(|(number, seconds)| number * seconds);
    let total = total.and_then(|total| Duration::try_from_secs_f64(total).ok());
    total.ok_or_else(|| format!("expected a time such as 90s, 30m or 2h, found '{text}'"))
}

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
    let school =
        School { data: (&data.all, &place.data), interrupt: &interrupt, deadline, folder: &folder };
    let fuse = match bench.original.engine {
        "onnxruntime" => Target::OnnxRuntime,
        _ => Target::Standard,
    };
    let maker = Maker::new(
        (&original, &config.model_limits),
        (&workshop, Some(&calibration)),
        (&school, fuse),
        &progress,
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
    let key = record::Key::of((model, &original), (&bench, &calibration), args.seed)?;
    let found = search.run(&folder, &key)?;
    if interrupt.came() {
        let again = "stopped; the same command goes on where this one was";
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

/// Examples to compare by, and to take ranges from.
struct Data {
    all: DataSet,
    other: Option<DataSet>,
}

impl Data {
    fn open(
        args: &Args,
        place: &DataArgs,
        model: &Model,
        progress: &Progress,
    ) -> anyhow::Result<Data> {
        let options = picture_options(place.options(), model);
        let all = progress.spin("reading the data", || place.open(&options))?;
        let other = match &args.calibration {
            Some(path) => {
                let other = DataArgs { data: path.clone(), targets: None, ..place.clone() };
                Some(progress.spin("reading the calibration data", || other.open(&options))?)
            }
            None => None,
        };
        Ok(Data { all, other })
    }

    /// Examples whose answers are compared.
    fn evaluation(&self) -> &dyn Examples {
        self.all.test.as_deref().unwrap_or(self.all.train.as_ref())
    }

    /// Whether ranges are taken from the very examples that answers are compared on.
    fn is_shared(&self) -> bool {
        self.other.is_none() && self.all.test.is_none()
    }

    fn calibration<'a>(&'a self, args: &Args, model: &Model) -> anyhow::Result<Sample<'a>> {
        let data = self.other.as_ref().unwrap_or(&self.all);
        let size = (args.calibration_samples, args.batch, args.seed);
        Sample::new(data, data.train.as_ref(), model, size)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_times_are_read() {
        assert_eq!((part("0.5%"), part("0.01")), (Ok(0.005), Ok(0.01)));
        assert!(part("200%").is_err() && part("-1").is_err() && part("x").is_err());
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("1d").is_err() && duration("-1s").is_err());
    }
}
