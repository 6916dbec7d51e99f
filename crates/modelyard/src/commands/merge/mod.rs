//! `modelyard merge`: several models as one.
//!
//! | module | does |
//! |---|---|
//! | `mod` | what is asked, and the order of things |
//! | `options` | how to merge, as flags |
//! | `ensemble`, `soup` | the merged model: of answers, or of weights |
//! | `trial` | models on examples |
//! | `report` | what is told |

mod ensemble;
mod options;
mod report;
mod soup;
mod trial;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_graph::file::{WriteOptions, write};
use modelyard_optimize::OptimizeError;
use modelyard_optimize::merge::{Gives, Member};

use super::convert::aside::Aside;
use super::evaluate::answers::Head;
use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::data::DataSet;
use crate::data::args::DataIfAny;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::optimizing::prepare;
use crate::optimizing::sample;
use crate::optimizing::workshop::Workshop;
use crate::output;
use crate::source::labels;
use options::{MergeArgs, Mode};
use report::{Measured, MemberReport, Report, Verdict};
use trial::{Asked, Parts, Size, Trial};

/// Merge several models into one: an ensemble in one graph, or the average of their weights
///
/// The models take the same inputs and give the same kind of output. An ensemble (average, vote,
/// soft-vote, stack) runs all of them and takes about as long as all together; what they compute alike,
/// such as the preparation of inputs, is computed once. A soup has the size and speed of one model, and
/// is for models that were trained further from the same weights. With --data the merged model is
/// compared with the best of its members.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard merge a.onnx b.onnx --weights 0.6,0.4 -o ensemble.onnx\n  \
    modelyard merge a.onnx b.onnx c.onnx --mode soft-vote --fit --data validation -o ensemble.onnx\n  \
    modelyard merge fine1.onnx fine2.onnx fine3.onnx --mode soup --fit --data validation -o soup.onnx")]
pub(crate) struct Args {
    /// The models
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    /// Where the merged model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    merge: MergeArgs,
    /// Output with the scores or values [default: the one with classes, or the first of floats]
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    #[command(flatten)]
    data: DataIfAny,
    /// Examples that are looked at, to fit and to measure each
    #[arg(long, value_name = "N", default_value = "10000", requires = "data")]
    samples: usize,
    /// Examples that run at once, where the models take any number
    #[arg(long, value_name = "N", default_value = "32", requires = "data")]
    batch: usize,
    /// Decides which examples are fitted on
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A merged model, and what is to be said about it.
struct Made {
    model: Model,
    /// One a member; none in a stack.
    weights: Option<Vec<f64>>,
    gives: Option<Gives>,
    notes: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let start = Instant::now();
    args.merge.check(args.models.len(), args.data.0.is_some())?;
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.json);
    let read = || members(args, &config);
    let mut members = progress.spin("reading the models", read)?;
    let data = sample::read(args.data.0.as_ref(), &members[0].model, &progress)?;
    let workshop = Workshop::new(&config)?;
    let trial = match &data {
        Some(data) => Some(trial(args, data, &workshop, &progress)?),
        None => None,
    };
    let (made, asked) = make(args, &mut members, trial.as_ref())?;
    let model = described(args, &made)?;
    let measured = match &trial {
        Some(trial) => Some(measure(trial, (&members, &asked), &model)?),
        None => None,
    };
    let aside = Aside::new(&args.output).exit_with(Exit::Usage)?;
    write(&model, &aside.path, &WriteOptions::default())?;
    aside.publish(&args.output)?;
    let mut report = told(args, made, &asked)?;
    if let Some((measured, latencies)) = measured {
        for (member, latency) in report.members.iter_mut().zip(latencies) {
            member.latency_us = Some(latency);
        }
        report.measured = Some(measured);
    }
    report.seconds = start.elapsed().as_secs_f64();
    match args.json {
        true => output::json(&report),
        false => Ok(output::line(report.text())?),
    }
}

/// The models, with the output that answers and the names of its classes.
fn members(args: &Args, config: &Config) -> anyhow::Result<Vec<Member>> {
    let member = |path: &PathBuf| {
        let model = prepare::read(path, &config.model_limits)?;
        let name = path.display().to_string();
        let find = || {
            let signature = model.signature().map_err(|error| anyhow::Error::new(error.clone()))?;
            let labels = labels::of_model(signature, &model.metadata);
            let head = Head::find(signature, &labels, args.output_name.as_deref())?;
            let labels = labels.into_iter().nth(head.output).flatten();
            anyhow::Ok((head.output, labels.map(|labels| labels.to_vec())))
        };
        let found = find().with_context(|| format!("failed to use the model '{name}'"));
        let whose = if args.output_name.is_some() { Exit::Usage } else { Exit::Model };
        let (output, labels) = found.exit_with(whose)?;
        Ok(Member { name, model, output, labels, gives: None })
    };
    args.models.iter().map(member).collect()
}

fn trial<'a>(
    args: &'a Args,
    data: &'a DataSet,
    workshop: &'a Workshop,
    progress: &'a Progress,
) -> anyhow::Result<Trial<'a>> {
    let held_out = args.merge.fits().then_some(args.merge.held_out);
    let trial = Trial {
        parts: Parts::new(data, held_out, args.seed).exit_with(Exit::Usage)?,
        workshop,
        size: Size { samples: args.samples, batch: args.batch, seed: args.seed },
        output: args.output_name.as_deref(),
        progress,
    };
    if args.merge.mode.needs_classes() && !trial.is_classification() {
        return Err(Exit::Usage.coded(anyhow::anyhow!(
            "--mode {} is for classes, and the data has values: use --mode average or stack",
            args.merge.mode.name()
        )));
    }
    Ok(trial)
}

/// The merged model, and what members answered, where there is data.
fn make(
    args: &Args,
    members: &mut [Member],
    trial: Option<&Trial<'_>>,
) -> anyhow::Result<(Made, Vec<Asked>)> {
    match args.merge.mode {
        Mode::Soup => soup::make(args, members, trial),
        _ => ensemble::make(args, members, trial),
    }
}

/// The library's errors: models that do not fit are models that are not usable.
fn refused(error: OptimizeError) -> anyhow::Error {
    Exit::Model.coded(error.into())
}

/// The model, with how it came to be in its metadata.
fn described(args: &Args, made: &Made) -> anyhow::Result<Model> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = serde_json::json!({
        "mode": args.merge.mode.name(),
        "models": args.models.iter().map(name).collect::<Vec<_>>(),
        "weights": made.weights,
    });
    let mut model = made.model.clone();
    model.metadata.insert("modelyard.merged".into(), serde_json::to_string(&text)?);
    Ok(model)
}

/// The merged model beside its members, and microseconds of a call of each of these.
fn measure(
    trial: &Trial<'_>,
    (members, asked): (&[Member], &[Asked]),
    model: &Model,
) -> anyhow::Result<(Measured, Vec<f64>)> {
    // The only output there is, in ensembles; in soups, the one that was asked for.
    let wanted = trial.output.filter(|name| model.graph.outputs.iter().any(|it| it.name == *name));
    let merged = trial.ask(model, wanted)?;
    let mut best = 0;
    for (index, member) in asked.iter().enumerate() {
        if trial::goodness(&member.measured)? > trial::goodness(&asked[best].measured)? {
            best = index;
        }
    }
    let gain = trial::gain(&asked[best].measured, &merged.measured, trial.size.seed);
    let loaded = members.iter().zip(asked).map(|(member, asked)| (&member.model, &asked.loaded));
    let all: Vec<_> = loaded.chain([(model, &merged.loaded)]).collect();
    let mut latencies = trial.latencies(&all)?;
    let measured = Measured {
        examples: merged.measured.len(),
        engine: merged.loaded.engine,
        score: merged.measured.score(),
        latency_us: latencies.pop().context("the merged model was not measured")?,
        best: members[best].name.clone(),
        gain,
        verdict: Verdict::of(&gain),
    };
    Ok((measured, latencies))
}

fn told(args: &Args, made: Made, asked: &[Asked]) -> anyhow::Result<Report> {
    let name = |path: &Path| path.display().to_string();
    let member = |(index, path): (usize, &PathBuf)| MemberReport {
        model: name(path),
        weight: made.weights.as_ref().map(|weights| weights[index]),
        score: asked.get(index).and_then(|asked| asked.measured.score()),
        latency_us: None,
    };
    let fit = asked.first().and_then(|asked| asked.fit.as_ref());
    Ok(Report {
        output: name(&args.output),
        mode: args.merge.mode.name(),
        bytes: report::bytes(&args.output)?,
        members: args.models.iter().enumerate().map(member).collect(),
        gives: made.gives,
        fitted_on: fit.map(crate::optimizing::answers::Answered::len),
        measured: None,
        notes: made.notes,
        seconds: 0.0,
    })
}
