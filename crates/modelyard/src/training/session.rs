//! A run from its start to the written model.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use modelyard_graph::Model;
use modelyard_train::Workers;
use modelyard_train::data::Examples;
use modelyard_train::trainer::{
    Ended, EpochReport, Event, Hold, Options, Score, TrainError, Trainer,
};
use sha2::{Digest, Sha256};

use super::interrupt::Interrupt;
use super::record::{self, Origin, Outcome, Report};
use super::watch::{Checkpoints, Watch};
use crate::cli::duration;
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

/// How a run goes along.
#[derive(Clone, Copy)]
pub(crate) struct Conditions<'a> {
    /// Where checkpoints go, if the run can be resumed.
    pub(crate) checkpoints: Option<&'a Checkpoints>,
    /// Whether it goes on where the checkpoint stands.
    pub(crate) resume: bool,
    /// A file for metrics.
    pub(crate) metrics: Option<&'a Path>,
    /// Threads to train with.
    pub(crate) threads: usize,
    /// Where a waiting person looks.
    pub(crate) progress: &'a Progress,
    /// Whether every epoch is told on stderr.
    pub(crate) tells: bool,
    /// What stops it.
    pub(crate) interrupt: &'a Interrupt,
    /// When it ends, whatever remains to be done; its weights are then those of the last step.
    pub(crate) deadline: Option<Instant>,
    /// What the weights are held to after every step.
    pub(crate) hold: Option<&'a Hold>,
}

/// A trained model.
pub(crate) struct Trained {
    /// With labels, preprocessing and the training record in its metadata.
    pub(crate) model: Model,
    /// What came of the run.
    pub(crate) outcome: Outcome,
    /// What came of every epoch.
    history: Vec<EpochReport>,
}

impl Job<'_> {
    /// Trains, writes what came of it, and says so.
    pub(crate) fn run(self, args: &OutputArgs, progress: &Progress) -> anyhow::Result<()> {
        check_paths(args).exit_with(Exit::Usage)?;
        let (checkpoints, data) = (self.checkpoints(args)?, self.data.1);
        let threads = args.threads.map_or_else(modelyard_engine::threads::budget, usize::from);
        let interrupt = Interrupt::listen().context("failed to listen for signals")?;
        let Trained { model, outcome, history } = self.train(&Conditions {
            checkpoints: Some(&checkpoints),
            resume: args.resume,
            metrics: args.metrics.as_deref(),
            threads,
            progress,
            tells: !args.json,
            interrupt: &interrupt,
            deadline: None,
            hold: None,
        })?;
        files::write_atomically(&args.output, &model.encode())?;
        if let Some(path) = &args.curves {
            let title = format!("{} on {}", args.output.display(), data.display());
            files::write_atomically(path, record::curves(&title, &history).as_bytes())?;
        }
        // The run is over: what was kept to resume it has no use any more.
        if args.resume || checkpoints.saved.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&checkpoints.path);
        }
        let report = Report { model: args.output.display().to_string(), outcome };
        if args.json { output::json(&report) } else { Ok(output::line(report.text())?) }
    }

    /// Trains, and measures what came of it. Nothing is written but checkpoints and metrics.
    pub(crate) fn train(self, conditions: &Conditions<'_>) -> anyhow::Result<Trained> {
        let start = Instant::now();
        let trained: Vec<&str> = self.trained.iter().map(String::as_str).collect();
        let mut trainer =
            Trainer::new(&self.model, &trained, self.options.clone()).exit_with(Exit::Model)?;
        let workers = Workers::new(conditions.threads).context("failed to start threads")?;
        if let Some(hold) = conditions.hold {
            trainer.hold(hold.clone())?;
        }
        if let (true, Some(checkpoints)) = (conditions.resume, conditions.checkpoints) {
            resume(&mut trainer, checkpoints)?;
        }

        let batches = self.training.len().div_ceil(self.options.batch);
        let steps = batches.saturating_mul(self.options.epochs);
        let mut watch = Watch::new(conditions, steps as u64)?;
        let mut observe = |event: Event<'_>, trainer: &Trainer| watch.observe(event, trainer);
        let ended = trainer.run(self.training, self.validation, &workers, &mut observe);
        let ended = match (ended, watch.failure()) {
            (_, Some(failure)) => return Err(failure),
            (Ok(Ended::Stopped), None) if conditions.interrupt.came() => {
                return interrupted(&trainer, conditions.checkpoints);
            }
            (Ok(ended), None) => ended,
            (Err(error), None) => return failed(error),
        };
        let examples_per_second = watch.examples_per_second();
        drop(watch);

        let (validation, test) = self.scores(&mut trainer, &workers)?;
        let outcome = Outcome {
            trained_parameters: trainer.trained_parameters(),
            ended: record::ending(ended),
            is_cut: matches!(ended, Ended::Stopped),
            epochs: trainer.progress().epoch,
            examples_per_second,
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: trainer.peak_bytes(),
            training: trainer.progress().history.last().map(|epoch| epoch.training),
            validation,
            test,
            skipped: self.data.0.skipped.len(),
        };
        let history = trainer.progress().history.clone();
        Ok(Trained { model: self.recorded(&trainer, test)?, outcome, history })
    }

    /// Measures the weights as they are, on the validation and the test examples.
    fn scores(
        &self,
        trainer: &mut Trainer,
        workers: &Workers,
    ) -> anyhow::Result<(Option<Score>, Option<Score>)> {
        let mut score = |examples: Option<&dyn Examples>| {
            let score = examples
                .map(|examples| workers.run(|| trainer.evaluate(examples, workers)))
                .transpose();
            anyhow::Ok(score?)
        };
        Ok((score(self.validation)?, score(self.test)?))
    }

    /// The model with the trained weights, and with its record in the metadata.
    fn recorded(mut self, trainer: &Trainer, test: Option<Score>) -> anyhow::Result<Model> {
        trainer.store(&mut self.model);
        let origin = Origin {
            command: self.command,
            data: self.data.1,
            training_examples: self.training.len(),
            validation_examples: self.validation.map_or(0, |part| part.len()),
        };
        record::write(&mut self.model, self.data.0, (&origin, trainer, test))?;
        Ok(self.model)
    }

    fn checkpoints(&self, args: &OutputArgs) -> anyhow::Result<Checkpoints> {
        let model = self.model.encode();
        if model.len() > MODEL_BYTES_MAX {
            return Err(anyhow!(
                "the model has {} bytes, more than the {MODEL_BYTES_MAX} of an ONNX file",
                model.len()
            ))
            .exit_with(Exit::Model);
        }
        let run = format!(
            "model {} on {} examples of {} ({})",
            digest([model.as_slice()]),
            self.training.len(),
            self.data.1.display(),
            self.fingerprint()?
        );
        let path = checkpoint_path(args);
        if path.exists() && !args.resume {
            output::complain(&format!(
                "'{}' of an earlier run will be replaced; --resume goes on with it",
                path.display()
            ));
        }
        Ok(Checkpoints { path, every: args.checkpoint_every, run, saved: AtomicBool::new(false) })
    }

    /// Tells other data, another teacher and other choices of weights apart: a digest of the names
    /// of the weights and of some examples with their targets.
    fn fingerprint(&self) -> anyhow::Result<String> {
        const LOOKED_AT: usize = 64;
        let len = self.training.len();
        let numbers: Vec<usize> =
            (0..LOOKED_AT.min(len)).map(|number| number * len / LOOKED_AT.min(len)).collect();
        let examples = format!("{:?}", self.training.load(&numbers)?);
        let names = self.trained.iter().map(String::as_bytes);
        Ok(digest(names.chain([examples.as_bytes()])))
    }
}

/// Bytes of a protobuf message at most, as most programs read them.
const MODEL_BYTES_MAX: usize = i32::MAX as usize;

/// Eight bytes of the SHA-256 of some pieces, in hexadecimal.
fn digest<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for piece in pieces {
        digest.update((piece.len() as u64).to_le_bytes());
        digest.update(piece);
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn checkpoint_path(args: &OutputArgs) -> PathBuf {
    args.checkpoint.clone().unwrap_or_else(|| {
        let mut name = args.output.clone().into_os_string();
        name.push(".checkpoint");
        name.into()
    })
}

/// Refuses paths that would only fail when all the work is done.
fn check_paths(args: &OutputArgs) -> anyhow::Result<()> {
    let checkpoint = checkpoint_path(args);
    let paths = [Some(&args.output), Some(&checkpoint), args.curves.as_ref()];
    let paths: Vec<&PathBuf> = paths.into_iter().flatten().chain(&args.metrics).collect();
    for (number, path) in paths.iter().enumerate() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            bail!("there is no folder for '{}'", path.display());
        }
        if path.is_dir() {
            bail!("'{}' is a folder, expected the name of a file", path.display());
        }
        if paths[..number].contains(path) {
            bail!("'{}' is named for two different files", path.display());
        }
    }
    Ok(())
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

/// Ctrl-C: saves where that was asked for, and says how to go on.
fn interrupted<T>(trainer: &Trainer, checkpoints: Option<&Checkpoints>) -> anyhow::Result<T> {
    let step = trainer.progress().step;
    let told = match checkpoints {
        None => anyhow!("stopped after step {step} of the training"),
        Some(checkpoints) => {
            checkpoints.save(trainer)?;
            anyhow!(
                "stopped after step {step}; the same command with --resume goes on from '{}'",
                checkpoints.path.display()
            )
        }
    };
    Err(told).exit_with(Exit::Interrupted)
}

fn failed<T>(error: TrainError) -> anyhow::Result<T> {
    let exit = match &error {
        TrainError::Compile(_) => Exit::Model,
        TrainError::Loss(_) => Exit::Usage,
        _ => Exit::Failure,
    };
    Err(error).exit_with(exit)
}
