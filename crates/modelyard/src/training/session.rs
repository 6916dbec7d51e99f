//! A run from its start to the written model.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use modelyard_graph::Model;
use modelyard_train::Workers;
use modelyard_train::data::Examples;
use modelyard_train::trainer::{Ended, Options, Score, TrainError, Trainer};
use sha2::{Digest, Sha256};

use super::recipe::duration;
use super::record::{self, Origin, Report};
use super::watch::{Checkpoints, Watch};
use crate::data::DataSet;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::{files, output};

/// What is written and shown: common to all commands that train.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "What is written")]
pub(crate) struct OutputArgs {
    /// Where the model goes
    #[arg(short, long, value_name = "FILE", default_value = "model.onnx")]
    pub(crate) output: PathBuf,
    /// Append a line of JSON for every epoch, and every 100 steps, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Draw loss and accuracy over the epochs into this SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) curves: Option<PathBuf>,
    /// Where checkpoints go [default: the model's file name with .checkpoint added]; removed when
    /// the run ends well
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// How often to save a checkpoint; 0s is after every step
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) checkpoint_every: Duration,
    /// Go on where the checkpoint of the same command stands; the result is the same, bit for bit,
    /// as that of a run that was never stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Threads to train with [default: what the cgroup quota and the CPU affinity allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to train, and on what. Inputs of all examples are those of the model.
pub(crate) struct Job<'a> {
    /// The command, for the training record.
    pub(crate) command: &'a str,
    /// The model with its first weights.
    pub(crate) model: Model,
    /// Names of the weights to train.
    pub(crate) trained: Vec<String>,
    /// The data that the examples come from, and where it is.
    pub(crate) data: (&'a DataSet, &'a Path),
    /// The examples to learn from.
    pub(crate) training: &'a dyn Examples,
    /// Those set apart, if any.
    pub(crate) validation: Option<&'a dyn Examples>,
    /// Those of the data's test part, if it has one.
    pub(crate) test: Option<&'a dyn Examples>,
    /// How to train.
    pub(crate) options: Options,
}

impl Job<'_> {
    /// Trains, and writes what came of it.
    pub(crate) fn run(mut self, args: &OutputArgs, progress: &Progress) -> anyhow::Result<()> {
        let start = Instant::now();
        let trained: Vec<&str> = self.trained.iter().map(String::as_str).collect();
        let mut trainer =
            Trainer::new(&self.model, &trained, self.options.clone()).exit_with(Exit::Model)?;
        let threads = args.threads.map_or_else(modelyard_engine::threads::budget, usize::from);
        let workers = Workers::new(threads).context("failed to start threads")?;
        let checkpoints = self.checkpoints(args);
        if args.resume {
            resume(&mut trainer, &checkpoints)?;
        }

        let (training, validation) = (self.training, self.validation);
        let steps = training.len().div_ceil(self.options.batch) * self.options.epochs;
        let shown = (progress, !args.json);
        let mut watch = Watch::new(&checkpoints, args.metrics.as_deref(), shown, steps as u64)?;
        let ended = trainer.run(training, validation, &workers, &mut |event, trainer| {
            watch.observe(event, trainer)
        });
        let ended = match (ended, watch.failure()) {
            (_, Some(failure)) => return Err(failure),
            (Ok(Ended::Stopped), None) => return interrupted(&trainer, &checkpoints),
            (Ok(ended), None) => ended,
            (Err(error), None) => return failed(error),
        };
        let examples_per_second = watch.examples_per_second();
        drop(watch);

        let mut score = |examples: Option<&dyn Examples>| -> anyhow::Result<Option<Score>> {
            let score = examples
                .map(|examples| workers.run(|| trainer.evaluate(examples, &workers)))
                .transpose();
            Ok(score?)
        };
        let (test, validated) = (score(self.test)?, score(validation)?);
        trainer.store(&mut self.model);
        let origin = Origin {
            command: self.command,
            data: self.data.1,
            training_examples: training.len(),
            validation_examples: validation.map_or(0, |part| part.len()),
        };
        record::write(&mut self.model, self.data.0, (&origin, &trainer, test))?;
        files::write_atomically(&args.output, &self.model.encode())?;
        if let Some(path) = &args.curves {
            let title = format!("{} on {}", args.output.display(), self.data.1.display());
            let svg = record::curves(&title, &trainer.progress().history);
            files::write_atomically(path, svg.as_bytes())?;
        }
        // The run is over: what was kept to resume it has no use any more.
        let _ = std::fs::remove_file(&checkpoints.path);
        let report = Report {
            model: args.output.display().to_string(),
            trained_parameters: trainer.trained_parameters(),
            ended: record::ending(ended),
            epochs: trainer.progress().epoch,
            examples_per_second,
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: trainer.peak_bytes(),
            training: trainer.progress().history.last().map(|epoch| epoch.training),
            validation: validated,
            test,
            skipped: self.data.0.skipped.len(),
        };
        if args.json { output::json(&report) } else { Ok(output::line(report.text())?) }
    }

    fn checkpoints(&self, args: &OutputArgs) -> Checkpoints {
        let path = args.checkpoint.clone().unwrap_or_else(|| {
            let mut name = args.output.clone().into_os_string();
            name.push(".checkpoint");
            name.into()
        });
        let digest = Sha256::digest(self.model.encode());
        let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let examples = self.training.len();
        let run = format!("model {digest} on {examples} examples of {}", self.data.1.display());
        Checkpoints { path, every: args.checkpoint_every, run }
    }
}

fn resume(trainer: &mut Trainer, checkpoints: &Checkpoints) -> anyhow::Result<()> {
    let path = &checkpoints.path;
    let context = || format!("failed to resume from '{}'", path.display());
    let bytes = std::fs::read(path).with_context(context).exit_with(Exit::Usage)?;
    trainer.restore(&bytes, &checkpoints.run).with_context(context).exit_with(Exit::Usage)?;
    let progress = trainer.progress();
    output::complain(&format!(
        "resumed in epoch {} after step {} of the run",
        progress.epoch + 1,
        progress.step
    ));
    Ok(())
}

/// Ctrl-C: saves, says how to go on.
fn interrupted(trainer: &Trainer, checkpoints: &Checkpoints) -> anyhow::Result<()> {
    checkpoints.save(trainer)?;
    Err(anyhow!(
        "stopped after step {}; the same command with --resume goes on from '{}'",
        trainer.progress().step,
        checkpoints.path.display()
    ))
    .exit_with(Exit::Interrupted)
}

fn failed(error: TrainError) -> anyhow::Result<()> {
    let exit = match &error {
        TrainError::Compile(_) => Exit::Model,
        TrainError::Loss(_) => Exit::Usage,
        _ => Exit::Failure,
    };
    Err(error).exit_with(exit)
}
