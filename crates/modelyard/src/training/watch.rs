//! What happens while a model is trained: progress, metrics, checkpoints.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use modelyard_train::trainer::{Control, EpochReport, Event, Score, StepReport, Trainer};
use serde::Serialize;

use super::interrupt::Interrupt;
use super::session::Conditions;
use crate::observe::progress::{Bar, Progress};
use crate::{files, output};

/// Steps between two lines of metrics within an epoch.
const METRICS_STEPS: u64 = 100;

/// How often the bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// Where checkpoints go, and how often.
pub(crate) struct Checkpoints {
    pub(super) path: PathBuf,
    pub(super) every: Duration,
    /// What else decides the result: see [`Trainer::checkpoint`].
    pub(super) run: String,
    /// Whether this run has saved one.
    pub(super) saved: AtomicBool,
}

impl Checkpoints {
    pub(super) fn save(&self, trainer: &Trainer) -> anyhow::Result<()> {
        files::write_atomically(&self.path, &trainer.checkpoint(&self.run)?)
            .context("failed to save a checkpoint")?;
        self.saved.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Watches a run. The first error of its own (a full disk) stops the run and is kept.
pub(super) struct Watch<'a> {
    checkpoints: Option<&'a Checkpoints>,
    metrics: Option<File>,
    bar: Bar,
    progress: &'a Progress,
    /// Whether a line an epoch is told.
    tells: bool,
    interrupt: &'a Interrupt,
    deadline: Option<Instant>,
    saved: Instant,
    drawn: Instant,
    epoch_began: Instant,
    epoch_examples: usize,
    rates: Vec<f64>,
    failure: Option<anyhow::Error>,
}

/// A line of metrics.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Step {
        epoch: usize,
        step: u64,
        loss: f64,
    },
    Epoch {
        #[serde(flatten)]
        report: &'a EpochReport,
        examples_per_second: f64,
    },
}

impl<'a> Watch<'a> {
    /// Watches a run of so many steps.
    pub(super) fn new(conditions: &Conditions<'a>, steps: u64) -> anyhow::Result<Watch<'a>> {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("failed to open the metrics file '{}'", path.display()))
        };
        let now = Instant::now();
        Ok(Watch {
            checkpoints: conditions.checkpoints,
            metrics: conditions.metrics.map(open).transpose()?,
            bar: conditions.progress.meter(steps),
            progress: conditions.progress,
            tells: conditions.tells,
            interrupt: conditions.interrupt,
            deadline: conditions.deadline,
            saved: now,
            drawn: now,
            epoch_began: now,
            epoch_examples: 0,
            rates: Vec::new(),
            failure: None,
        })
    }

    /// What a run calls after every step and epoch.
    pub(super) fn observe(&mut self, event: Event<'_>, trainer: &Trainer) -> Control {
        let done = match event {
            Event::Step(report) => self.step(report, trainer),
            Event::Epoch(report) => self.epoch(report),
        };
        let saved = done.and_then(|()| self.save_now_and_then(trainer));
        if let Err(error) = saved {
            self.failure = Some(error);
            return Control::Stop;
        }
        let is_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over || self.interrupt.came() { Control::Stop } else { Control::Continue }
    }

    /// What went wrong with the watching itself.
    pub(super) fn failure(&mut self) -> Option<anyhow::Error> {
        self.failure.take()
    }

    /// Examples a second of the training itself: the median over the epochs.
    pub(super) fn examples_per_second(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }

    fn step(&mut self, report: &StepReport, trainer: &Trainer) -> anyhow::Result<()> {
        self.epoch_examples += report.examples;
        let (done, all) = report.batch;
        if done == all {
            let seconds = self.epoch_began.elapsed().as_secs_f64();
            self.rates.push(self.epoch_examples as f64 / seconds.max(f64::MIN_POSITIVE));
        }
        if let Some(metrics) = &mut self.metrics
            && report.step.is_multiple_of(METRICS_STEPS)
        {
            let &StepReport { epoch, step, loss, .. } = report;
            write_line(metrics, &Line::Step { epoch, step, loss })?;
        }
        if self.drawn.elapsed() >= REDRAW {
            self.drawn = Instant::now();
            let rate = self.epoch_examples as f64 / self.epoch_began.elapsed().as_secs_f64();
            let epochs = trainer.options().epochs;
            let text = format!(
                "epoch {}/{epochs} {}, {}/s",
                report.epoch,
                score_text(&report.score),
                rate_text(rate)
            );
            self.bar.set(report.step, text);
        }
        Ok(())
    }

    fn epoch(&mut self, report: &EpochReport) -> anyhow::Result<()> {
        let rate = self.rates.last().copied().unwrap_or_default();
        if let Some(metrics) = &mut self.metrics {
            write_line(metrics, &Line::Epoch { report, examples_per_second: rate })?;
        }
        if self.tells {
            let validation = report
                .validation
                .as_ref()
                .map(|score| format!("; validation {}", score_text(score)));
            let text = format!(
                "epoch {}: {}{}; {} examples/s",
                report.epoch,
                score_text(&report.training),
                validation.unwrap_or_default(),
                rate_text(rate)
            );
            self.progress.suspend(|| output::complain(&text));
        }
        self.epoch_began = Instant::now();
        self.epoch_examples = 0;
        Ok(())
    }

    fn save_now_and_then(&mut self, trainer: &Trainer) -> anyhow::Result<()> {
        if let Some(checkpoints) = self.checkpoints
            && self.saved.elapsed() >= checkpoints.every
        {
            checkpoints.save(trainer)?;
            self.saved = Instant::now();
        }
        Ok(())
    }
}

fn write_line(file: &mut File, line: &Line<'_>) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text).context("failed to write metrics")
}

/// `loss 0.1234, accuracy 97.10 %`.
pub(super) fn score_text(score: &Score) -> String {
    let accuracy = score.accuracy.map(|share| format!(", accuracy {:.2} %", 100.0 * share));
    format!("loss {:.4}{}", score.loss, accuracy.unwrap_or_default())
}

fn rate_text(rate: f64) -> String {
    match rate {
        10_000.0.. => format!("{:.0}k", rate / 1000.0),
        1_000.0.. => format!("{:.1}k", rate / 1000.0),
        _ => format!("{rate:.0}"),
    }
}
