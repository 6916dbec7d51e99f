//! Samples of requests and their answers, for whoever records them.
//!
//! ```text
//! Service::infer ─drawn→ Observed ─answer→ Sample ─bounded channel→ Samples (another thread)
//! ```
//!
//! Recording must not be felt: whether a request is drawn costs a few nanoseconds, takes no lock and
//! allocates nothing. A drawn one's tensors are copied once, when the answer is known: a slice of a
//! batch's outputs would keep the memory of the whole batch. What the recorder cannot keep up with
//! is dropped and counted, never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use modelyard_tensor::{Rope, Tensor};
use smallvec::SmallVec;

use crate::{InferError, InferResponse, Input, Timing, Version};

/// Most samples that wait to be recorded, and most bytes of their tensors.
const MAX_SAMPLES: usize = 1024;
const MAX_BYTES: usize = 64 << 20;

/// A request and what became of it. Holds nothing of the version that answered.
#[derive(Debug)]
pub struct Sample {
    /// When it was answered.
    pub time: SystemTime,
    /// Name of the model.
    pub model: String,
    /// Version number.
    pub version: u64,
    /// What the client called the request; empty for nothing.
    pub id: String,
    /// Rows, as far as its inputs tell.
    pub rows: usize,
    /// From its arrival to its answer.
    pub latency: Duration,
    /// The inputs by name; of a request that was refused, those that are tensors.
    pub inputs: Vec<(String, Tensor)>,
    /// The outputs by name and where the time went, or why there are none.
    pub answer: Result<(Vec<(String, Tensor)>, Timing), InferError>,
}

/// Draws requests and hands them over. See [`Recorder::new`].
pub struct Recorder {
    share: f64,
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// Where samples come out, for one thread.
pub struct Samples {
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
}

/// What came of waiting for a sample.
pub enum Next {
    /// A sample.
    Sample(Box<Sample>),
    /// None until then.
    Late,
    /// No more will come.
    Closed,
}

/// What was recorded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderFigures {
    /// Requests drawn.
    pub drawn: u64,
    /// Samples that were recorded.
    pub written: u64,
    /// Samples that were not: the recorder could not keep up, or failed.
    pub dropped: u64,
    /// Bytes recorded.
    pub bytes: u64,
    /// Times that recording failed.
    pub errors: u64,
}

enum Message {
    Sample(Box<Sample>, usize),
    /// Look whether it is closed.
    Wake,
}

#[derive(Default)]
struct Shared {
    closed: AtomicBool,
    waiting_bytes: AtomicUsize,
    drawn: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

/// What is kept of a request that was drawn until its answer is there.
pub(crate) struct Observed<'a> {
    recorder: &'a Recorder,
    inputs: SmallVec<[Input; 2]>,
    outputs: SmallVec<[usize; 4]>,
    arrived: Instant,
}

impl Recorder {
    /// A recorder that draws this share of the requests, 0 to 1, of models that have no share of
    /// their own; and where the samples come out.
    pub fn new(share: f64) -> (Recorder, Samples) {
        let (sender, receiver) = sync_channel(MAX_SAMPLES);
        let shared = Arc::new(Shared::default());
        (Recorder { share, sender, shared: shared.clone() }, Samples { receiver, shared })
    }

    /// Draws no more; [`Samples`] ends after those that wait.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        // A full channel means that its reader is awake.
        let _ = self.sender.try_send(Message::Wake);
    }

    /// What was recorded so far.
    pub fn figures(&self) -> RecorderFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { drawn, written, dropped, bytes, errors, .. } = &*self.shared;
        RecorderFigures {
            drawn: of(drawn),
            written: of(written),
            dropped: of(dropped),
            bytes: of(bytes),
            errors: of(errors),
        }
    }

    /// Draws; keeps a drawn request's inputs, which are shared.
    #[inline]
    pub(crate) fn observe(
        &self,
        version: &Version,
        inputs: &SmallVec<[Input; 2]>,
        outputs: &SmallVec<[usize; 4]>,
        arrived: Instant,
    ) -> Option<Box<Observed<'_>>> {
        let share = version.config().tape_sample.unwrap_or(self.share);
        let drawn = share > 0.0 && (share >= 1.0 || fastrand::f64() < share);
        if !drawn || self.shared.closed.load(Ordering::Relaxed) {
            return None;
        }
        let (inputs, outputs) = (inputs.clone(), outputs.clone());
        Some(Box::new(Observed { recorder: self, inputs, outputs, arrived }))
    }
}

impl Observed<'_> {
    /// Hands the request over with its answer.
    pub(crate) fn answered(
        &self,
        version: &Version,
        id: &str,
        answer: &Result<InferResponse, InferError>,
    ) {
        let shared = &self.recorder.shared;
        shared.drawn.fetch_add(1, Ordering::Relaxed);
        let outputs = answer.as_ref().map(|answer| answer.outputs.as_slice()).unwrap_or_default();
        let bytes = self.inputs.iter().map(|input| input.data.len()).sum::<usize>()
            + outputs.iter().map(|output| output.data().len()).sum::<usize>();
        // Before anything is copied. One alone may be larger than the bound.
        let waiting = shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = (waiting == 0 || waiting + bytes <= MAX_BYTES) && {
            let sample = Box::new(self.sample(version, id, answer));
            self.recorder.sender.try_send(Message::Sample(sample, bytes)).is_ok()
        };
        if !sent {
            shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sample(
        &self,
        version: &Version,
        id: &str,
        answer: &Result<InferResponse, InferError>,
    ) -> Sample {
        let signature = version.signature();
        let input = |(spec, input): (&modelyard_tensor::TensorSpec, &Input)| {
            let data = copied(&input.data).into();
            let tensor = Tensor::new(input.data_type, input.shape.clone(), data).ok()?;
            Some((spec.name.clone(), tensor))
        };
        let rows = self.inputs.first().and_then(|input| input.shape.first().copied());
        Sample {
            time: SystemTime::now(),
            model: version.model().to_owned(),
            version: version.number(),
            id: id.to_owned(),
            rows: rows.filter(|_| version.max_batch_size() > 0).unwrap_or(1),
            latency: self.arrived.elapsed(),
            inputs: signature.inputs.iter().zip(&self.inputs).filter_map(input).collect(),
            answer: match answer {
                Ok(answer) => Ok((self.outputs(version, &answer.outputs), answer.timing)),
                Err(error) => Err(error.clone()),
            },
        }
    }

    /// The outputs, copied, with the names of the signature; none wanted means all.
    fn outputs(&self, version: &Version, outputs: &[Tensor]) -> Vec<(String, Tensor)> {
        let specs = &version.signature().outputs;
        let named = |(index, output): (usize, &Tensor)| {
            let spec = specs.get(self.outputs.get(index).copied().unwrap_or(index))?;
            let data = output.data().to_vec().into();
            let tensor = Tensor::new(output.data_type(), output.shape().clone(), data).ok()?;
            Some((spec.name.clone(), tensor))
        };
        outputs.iter().enumerate().filter_map(named).collect()
    }
}

fn copied(rope: &Rope) -> Vec<u8> {
    let mut data = Vec::with_capacity(rope.len());
    rope.chunks().iter().for_each(|chunk| data.extend_from_slice(chunk));
    data
}

impl Samples {
    /// The next sample; waits for it until then, or as long as it takes.
    pub fn next(&self, until: Option<Instant>) -> Next {
        loop {
            let message = match self.receiver.try_recv() {
                Ok(message) => message,
                // Looked at after the channel: what was sent before the end is taken still.
                Err(_) if self.shared.closed.load(Ordering::Acquire) => return Next::Closed,
                Err(_) => match self.wait(until) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => return Next::Late,
                    Err(RecvTimeoutError::Disconnected) => return Next::Closed,
                },
            };
            if let Message::Sample(sample, bytes) = message {
                self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                return Next::Sample(sample);
            }
        }
    }

    /// Counts samples that were recorded, and their bytes.
    pub fn count_written(&self, samples: u64, bytes: u64) {
        self.shared.written.fetch_add(samples, Ordering::Relaxed);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts samples that were taken from here and lost.
    pub fn count_dropped(&self, samples: u64) {
        self.shared.dropped.fetch_add(samples, Ordering::Relaxed);
    }

    /// Counts a failure to record.
    pub fn count_error(&self) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn wait(&self, until: Option<Instant>) -> Result<Message, RecvTimeoutError> {
        match until {
            Some(until) => {
                self.receiver.recv_timeout(until.saturating_duration_since(Instant::now()))
            }
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }
}
