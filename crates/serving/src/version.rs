//! One loaded version of one model: its session, its queue, its figures.

mod run;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use modelyard_engine::memory::resident_bytes;
use modelyard_engine::{LoadError, Loaded, threads};
use modelyard_tensor::Signature;

use crate::admit::Admitted;
use crate::cost::{CostModel, SIZE_CLASSES};
use crate::probe::probe;
use crate::queue::Queue;
use crate::reload::{Slot, Standing};
use crate::warm::{RecordedInputs, warm};
use crate::{BatchingConfig, InferError, ModelConfig, StatsSnapshot, VersionStats};

/// Names of classes, one list an output (by its position in the signature), where known.
pub type Labels = Vec<Option<Arc<[String]>>>;

/// Most rows in a batch when nobody set `max_batch_size` and rows are independent.
const DEFAULT_MAX_BATCH_SIZE: usize = 128;
/// Cheaper runs are done on the caller's thread: handing over costs about as much.
const INLINE_BELOW: Duration = Duration::from_micros(50);
/// What is needed to bring a version up, and up again after its engine panicked.
pub struct VersionSpec {
    /// Name of the model.
    pub model: String,
    /// Version number, at least 1.
    pub number: u64,
    /// How to serve it.
    pub config: ModelConfig,
    /// Class names.
    pub labels: Labels,
    /// Loads the model; called off the serving threads, more than once if the engine panics.
    pub load: Box<dyn Fn() -> Result<Loaded, LoadError> + Send + Sync>,
}

/// One loaded version of one model, with its queue and its figures.
pub struct Version {
    spec: VersionSpec,
    signature: Signature,
    engine: &'static str,
    session: Slot,
    max_batch_size: usize,
    /// Whether requests of several callers may run together. False when rows were seen to depend
    /// on each other, whatever the configuration says; cleared when a batch turns out not to be
    /// divisible among its requests.
    batches: AtomicBool,
    queue: Queue,
    costs: Box<[CostModel]>,
    stats: VersionStats,
    since: SystemTime,
    bytes: u64,
    /// Batches that run at once, for estimates.
    at_once: usize,
}

impl Version {
    /// Loads a version, warms it and gets to know it. Blocks, perhaps for seconds.
    pub fn load(spec: VersionSpec) -> Result<Self, LoadError> {
        Version::load_warmed(spec, &[])
    }

    /// The same, warmed with requests that were recorded, newest first, as far as they fit.
    pub fn load_warmed(spec: VersionSpec, recorded: &[RecordedInputs]) -> Result<Self, LoadError> {
        let loaded = (spec.load)()?;
        let costs: Box<[CostModel]> = (0..SIZE_CLASSES).map(|_| CostModel::default()).collect();
        let engine = loaded.engine;
        let failed = |message| LoadError::Failed { engine, message };
        let session = loaded.session.as_ref();
        let trial = |error| failed(format!("a trial run failed: {error}"));
        let mut probe = probe(session, &costs).map_err(trial)?;
        let max_batch_size = match (spec.config.batching.max_batch_size, probe.rows_independent) {
            (Some(size), _) => size,
            (None, Some(true)) => DEFAULT_MAX_BATCH_SIZE,
            (None, _) => 0,
        };
        let mixes = probe.rows_independent == Some(false);
        if mixes {
            warn_of_mixed_rows(&spec);
        }
        let independent = probe.rows_independent == Some(true);
        let (warmed, row) = warm(session, &costs, recorded, independent).map_err(trial)?;
        if warmed > 0 {
            let (model, requests) = (&spec.model, warmed);
            tracing::debug!(model, requests, "warmed with recorded inputs");
        }
        probe.example = row.or(probe.example);
        if independent {
            probe.warm(session, &costs, batch_sizes(&spec.config.batching)).map_err(
                |(rows, error)| failed(format!("a trial run of {rows} rows failed: {error}")),
            )?;
        }
        let instances = spec.config.instances.unwrap_or(usize::MAX);
        Ok(Version {
            signature: loaded.session.signature().clone(),
            engine,
            queue: Queue::new(instances, spec.config.queue.clone()),
            bytes: loaded.bytes,
            session: Slot::new(loaded),
            max_batch_size,
            batches: AtomicBool::new(max_batch_size > 1 && !mixes),
            costs,
            stats: VersionStats::default(),
            since: SystemTime::now(),
            at_once: threads::budget().min(instances).max(1),
            spec,
        })
    }

    /// Whether lone requests made it spread over all threads.
    pub fn is_spread(&self) -> bool {
        self.session.load().as_ref().is_some_and(|loaded| loaded.session.is_spread())
    }

    /// Gets it ready for lone requests. Blocks, perhaps for seconds.
    pub fn spread(&mut self) {
        if let Some(loaded) = self.session.load().as_ref() {
            let before = resident_bytes();
            loaded.session.spread();
            self.bytes += resident_bytes().saturating_sub(before);
        }
    }

    /// Memory that it took when it was loaded, as far as that can be told: what the process grew by.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When it last ran, or else when it was loaded.
    pub fn last_used(&self) -> SystemTime {
        let ran = Duration::from_millis(self.stats.last_inference_ms());
        self.since.max(SystemTime::UNIX_EPOCH + ran)
    }

    /// Whether requests wait for it.
    pub fn is_waited_for(&self) -> bool {
        self.queue.len() > 0
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.spec.model
    }

    /// Version number.
    pub fn number(&self) -> u64 {
        self.spec.number
    }

    /// What the model takes and gives, batch dimension included.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Class names by output position.
    pub fn labels(&self) -> &Labels {
        &self.spec.labels
    }

    /// How it is served.
    pub fn config(&self) -> &ModelConfig {
        &self.spec.config
    }

    /// Most rows in one request, and in one batch of several; 0 when the model takes no batches.
    pub fn max_batch_size(&self) -> usize {
        self.max_batch_size
    }

    /// Name of the engine that runs it.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// When it was loaded.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Where its figures are recorded.
    pub fn stats(&self) -> &VersionStats {
        &self.stats
    }

    /// Its figures now.
    pub fn statistics(&self) -> StatsSnapshot {
        self.stats.snapshot(self.queue.len())
    }

    /// Refuses a request before its body is read when it would be refused anyway.
    pub fn check_capacity(&self) -> Result<(), InferError> {
        if self.queue.is_full() { Err(self.overloaded()) } else { Ok(()) }
    }

    /// Whether it answers: not while its session is being loaded again.
    pub(crate) fn standing(&self) -> Standing {
        self.session.standing()
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.session
    }

    /// Loads another session. Blocks.
    pub(crate) fn load_session(&self) -> Result<Loaded, LoadError> {
        (self.spec.load)()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What a run of this request alone costs, as far as known.
    pub(crate) fn cost(&self, request: &Admitted) -> Option<Duration> {
        self.costs[request.class].run_cost(request.rows)
    }

    /// How long what waits will take, as far as known; by the dearest kind of request.
    pub(crate) fn backlog(&self) -> Duration {
        let row = self.costs.iter().filter_map(|cost| cost.run_cost(1)).max().unwrap_or_default();
        row.mul_f64(self.queue.rows() as f64 / self.at_once as f64)
    }

    /// Whether the request is cheaper run at once than handed over.
    pub(crate) fn runs_inline(&self, request: &Admitted) -> bool {
        self.queue.len() == 0
            && !self.waits_for_rows(request)
            && self.cost(request).is_some_and(|cost| cost < INLINE_BELOW)
    }

    /// Whether it was told to wait for company, and company can come.
    fn waits_for_rows(&self, request: &Admitted) -> bool {
        self.spec.config.batching.max_queue_delay > Duration::ZERO
            && self.limit(request) > request.rows
    }

    /// The most rows that pay in one batch with this request, when more than its own do. Where
    /// instances are counted, requests take theirs one by one.
    pub(crate) fn gathers(&self, request: &Admitted) -> Option<usize> {
        let limit = self.limit(request);
        (self.spec.config.instances.is_none() && limit > request.rows).then_some(limit)
    }

    /// Takes an instance for a run on the caller's thread, unless all are busy.
    pub(crate) fn enter(&self) -> bool {
        self.spec.config.instances.is_none() || self.queue.try_instance()
    }

    /// Gives it back. Answers whether requests came meanwhile: then the instance is theirs.
    pub(crate) fn leave(&self) -> bool {
        self.spec.config.instances.is_some() && self.queue.finish_instance()
    }

    fn limit(&self, first: &Admitted) -> usize {
        if !self.batches.load(Ordering::Relaxed) {
            return 1;
        }
        match self.spec.config.batching.max_queue_delay {
            // Told to wait for rows: then batches are wanted, whatever they gain.
            delay if delay > Duration::ZERO => self.max_batch_size,
            _ => self.costs[first.class].batch_limit(self.max_batch_size),
        }
    }
}

/// The batch sizes that were asked for; one and two rows have run already.
fn batch_sizes(batching: &BatchingConfig) -> impl Iterator<Item = usize> {
    let asked = batching.preferred_batch_sizes.iter().copied().chain(batching.max_batch_size);
    let sizes: BTreeSet<usize> = asked.filter(|size| *size > 2).collect();
    sizes.into_iter()
}

/// Says why requests run alone; a configured batch size is for each caller's own rows then.
fn warn_of_mixed_rows(spec: &VersionSpec) {
    let model = &spec.model;
    match spec.config.batching.max_batch_size {
        Some(max_batch_size) if max_batch_size > 1 => tracing::warn!(
            model,
            max_batch_size,
            "rows depend on each other: a row came out differently beside another one, so requests \
             of different callers run alone; max_batch_size bounds the rows of one request only"
        ),
        _ => tracing::info!(model, "rows depend on each other: requests run alone"),
    }
}
