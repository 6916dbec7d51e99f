//! The thread that records: samples of the core become the files of a tape.
//!
//! Serving never waits for it. When the tape cannot be written (a full disk, a folder of somebody
//! else), that is said once and counted, what comes meanwhile is dropped, and it is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::Context;
use modelyard_serving::{Next, Recorder, Sample, Samples, Service};
use modelyard_tape::{Failure, Figures, NamedTensor, Record, TapeError, Writer};
use modelyard_tensor::Tensor;
use tokio::sync::oneshot;

use super::workers::lower_priority;
use crate::config::TapeConfig;

/// Everybody else goes first.
const NICE: i32 = 19;
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(10);
/// How long the last file may take in the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tape that is being written.
pub(super) struct Recording {
    service: Arc<Service>,
    ended: oneshot::Receiver<()>,
}

impl Recording {
    /// Has a service's requests recorded.
    pub(super) fn start(config: TapeConfig, service: &Arc<Service>) -> anyhow::Result<Recording> {
        let (recorder, samples) = Recorder::new(config.sample);
        let (end, ended) = oneshot::channel();
        let work = move || {
            lower_priority(NICE);
            Desk::new(config, samples).work();
            // Nobody waits after a second signal.
            let _ = end.send(());
        };
        let thread = std::thread::Builder::new().name("tape".into()).spawn(work);
        thread.context("failed to start the thread that records")?;
        service.record(recorder);
        Ok(Recording { service: service.clone(), ended })
    }

    /// Records what waits, closes the last file.
    pub(super) async fn finish(self) {
        if let Some(recorder) = self.service.recorder() {
            recorder.close();
        }
        if tokio::time::timeout(PATIENCE, self.ended).await.is_err() {
            tracing::warn!("the last file of the tape took too long and is given up");
        }
    }
}

/// What the thread holds.
struct Desk {
    config: TapeConfig,
    samples: Samples,
    writer: Option<Writer>,
    /// Its figures as last told.
    told: Figures,
    /// Nothing is tried before.
    pause: Option<Instant>,
    /// Whether a failure was said, and nothing was written since.
    complained: bool,
    /// The same of requests that are too large for a tape, which lasts.
    told_of_size: bool,
}

impl Desk {
    fn new(config: TapeConfig, samples: Samples) -> Desk {
        let told = Figures::default();
        let (writer, pause) = (None, None);
        Desk { config, samples, writer, told, pause, complained: false, told_of_size: false }
    }

    fn work(mut self) {
        // Before anything is to be recorded, so that a wrong folder is said at the start.
        let opened = self.open().map(drop);
        self.note(opened);
        loop {
            let due = self.writer.as_ref().and_then(Writer::due);
            let done = match self.samples.next(due) {
                Next::Sample(sample) => self.take(*sample),
                Next::Late => self.close(),
                Next::Closed => break,
            };
            self.note(done);
        }
        let closed = self.close();
        self.note(closed);
    }

    fn open(&mut self) -> Result<&mut Writer, TapeError> {
        if self.writer.is_none() {
            self.writer = Some(Writer::open(&self.config.folder, self.config.limits)?);
            self.told = Figures::default();
        }
        Ok(self.writer.as_mut().expect("it is open"))
    }

    fn take(&mut self, sample: Sample) -> Result<(), TapeError> {
        let now = Instant::now();
        if self.pause.is_some_and(|pause| now < pause) {
            self.samples.count_dropped(1);
            return Ok(());
        }
        match self.open() {
            Ok(writer) => writer.add(record(sample), now),
            Err(error) => {
                self.samples.count_dropped(1);
                Err(error)
            }
        }?;
        // Steady traffic must not keep a file open.
        match self.writer.as_ref().and_then(Writer::due) {
            Some(due) if now >= due => self.close(),
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), TapeError> {
        self.writer.as_mut().map_or(Ok(()), Writer::close)
    }

    /// Counts what was done, and says what failed.
    fn note<T>(&mut self, done: Result<T, TapeError>) {
        let figures = self.writer.as_ref().map(Writer::figures).unwrap_or(self.told);
        let told = std::mem::replace(&mut self.told, figures);
        self.samples.count_written(figures.written - told.written, figures.bytes - told.bytes);
        self.samples.count_dropped(figures.lost - told.lost);
        let folder = self.config.folder.display();
        if self.complained && figures.written > told.written {
            self.complained = false;
            tracing::info!("requests are recorded to '{folder}' again");
        }
        let Err(error) = done else { return };
        self.samples.count_error();
        let is_told = match error {
            TapeError::TooLarge { .. } => &mut self.told_of_size,
            _ => {
                self.pause = Some(Instant::now() + PAUSE);
                &mut self.complained
            }
        };
        if !std::mem::replace(is_told, true) {
            let error = anyhow::Error::from(error);
            tracing::warn!("requests are served, but not all are recorded: {error:#}");
        }
    }
}

/// A sample as the tape keeps it.
fn record(sample: Sample) -> Record {
    let since = sample.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let named = |tensors: Vec<(String, Tensor)>| {
        let named = |(name, tensor)| NamedTensor { name, tensor };
        tensors.into_iter().map(named).collect()
    };
    let timing = sample.answer.as_ref().ok().map(|(_, timing)| *timing);
    Record {
        time_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        model: sample.model,
        version: sample.version,
        request_id: sample.id,
        rows: sample.rows as u64,
        latency: sample.latency,
        queue: timing.map(|timing| timing.queue),
        compute: timing.map(|timing| timing.compute),
        inputs: named(sample.inputs),
        answer: match sample.answer {
            Ok((outputs, _)) => Ok(named(outputs)),
            Err(error) => Err(Failure {
                code: error.code.name().to_owned(),
                message: error.message.into_owned(),
            }),
        },
    }
}
