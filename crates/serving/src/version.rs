//! One loaded version of one model: its session, its queue, its figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use modelyard_engine::{LoadError, Loaded, Parallelism, RunError};
use modelyard_tensor::Signature;

use crate::admit::Admitted;
use crate::batch::{self, BatchError, BatchOutcome};
use crate::cost::{CostModel, SIZE_CLASSES};
use crate::executor::Next;
use crate::probe::probe;
use crate::queue::{Pending, Queue};
use crate::{
    ErrorCode, InferError, InferResponse, ModelConfig, StatsSnapshot, Timing, VersionStats,
};

/// Names of classes, one list an output (by its position in the signature), where known.
pub type Labels = Vec<Option<Arc<[String]>>>;

/// Most rows in a batch when nobody set `max_batch_size` and rows are independent.
const DEFAULT_MAX_BATCH_SIZE: usize = 128;
/// Cheaper runs are done on the caller's thread: handing over costs about as much.
const INLINE_BELOW: Duration = Duration::from_micros(50);
/// Only dearer runs are spread over several threads: below, waking them costs more than it gains.
const SPREAD_ABOVE: Duration = Duration::from_micros(500);
/// Waits between tries to load a model again after its engine panicked.
const RELOAD_AFTER: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

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
    /// Absent while being loaded again.
    session: ArcSwapOption<Loaded>,
    max_batch_size: usize,
    /// Whether requests of several callers may run together. False when rows were seen to depend
    /// on each other, whatever the configuration says; cleared when a batch turns out not to be
    /// divisible among its requests.
    batches: AtomicBool,
    queue: Queue,
    costs: Box<[CostModel]>,
    stats: VersionStats,
    since: SystemTime,
}

impl Version {
    /// Loads a version, warms it and gets to know it. Blocks, perhaps for seconds.
    pub fn load(spec: VersionSpec) -> Result<Self, LoadError> {
        let loaded = (spec.load)()?;
        let costs: Box<[CostModel]> = (0..SIZE_CLASSES).map(|_| CostModel::default()).collect();
        let probe = probe(loaded.session.as_ref(), &costs).map_err(|error| LoadError::Failed {
            engine: loaded.engine,
            message: format!("a trial run failed: {error}"),
        })?;
        let max_batch_size = match (spec.config.batching.max_batch_size, probe.rows_independent) {
            (Some(size), _) => size,
            (None, Some(true)) => DEFAULT_MAX_BATCH_SIZE,
            (None, _) => 0,
        };
        let mixes = probe.rows_independent == Some(false);
        if mixes {
            warn_of_mixed_rows(&spec);
        }
        let instances = spec.config.instances.unwrap_or(usize::MAX);
        Ok(Version {
            signature: loaded.session.signature().clone(),
            engine: loaded.engine,
            queue: Queue::new(instances, spec.config.queue.clone()),
            session: ArcSwapOption::from_pointee(loaded),
            max_batch_size,
            batches: AtomicBool::new(max_batch_size > 1 && !mixes),
            costs,
            stats: VersionStats::default(),
            since: SystemTime::now(),
            spec,
        })
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

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What a run of this request alone costs, as far as known.
    pub(crate) fn cost(&self, request: &Admitted) -> Option<Duration> {
        self.costs[request.class].run_cost(request.rows)
    }

    /// Whether the request is cheaper run at once than handed over.
    pub(crate) fn runs_inline(&self, request: &Admitted) -> bool {
        self.queue.len() == 0 && self.cost(request).is_some_and(|cost| cost < INLINE_BELOW)
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

    /// Runs the request on the calling thread.
    pub(crate) fn run_inline(
        self: &Arc<Self>,
        request: &Admitted,
    ) -> Result<InferResponse, InferError> {
        let arrived = request.options.arrived;
        let outcome = self.run_batch(&[request], Parallelism::One);
        self.respond(outcome, &[request], arrived).swap_remove(0)
    }

    /// Runs the next batch from the queue; called by a compute thread that holds an instance.
    /// `alone` says that no other thread has work.
    pub(crate) fn run_next(self: &Arc<Self>, alone: bool) -> Next {
        let now = Instant::now();
        let taken = self.queue.take(now, &self.spec.config.batching, |first| self.limit(first));
        for expired in taken.expired {
            // A receiver that is gone needs no answer.
            let _ = expired.reply.send(Err(deadline_exceeded(self.model())));
        }
        if !taken.batch.is_empty() {
            // What a run costs is learned on one thread, so that is where it starts.
            let first = &taken.batch[0].request;
            let spread = alone && self.cost(first).is_some_and(|cost| cost > SPREAD_ABOVE);
            let parallelism = if spread { Parallelism::All } else { Parallelism::One };
            self.run_pending(taken.batch, now, parallelism);
            return Next::More;
        }
        taken.wait_until.map_or(Next::Idle, Next::LookAgain)
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

    /// Runs requests that were taken together and answers each.
    pub(crate) fn run_pending(
        self: &Arc<Self>,
        batch: Vec<Pending>,
        taken: Instant,
        parallelism: Parallelism,
    ) {
        let requests: Vec<&Admitted> = batch.iter().map(|pending| &pending.request).collect();
        let outcome = self.run_batch(&requests, parallelism);
        if requests.len() > 1 && self.must_run_alone(&outcome) {
            for pending in batch {
                self.run_pending(vec![pending], taken, parallelism);
            }
            return;
        }
        let responses = self.respond(outcome, &requests, taken);
        drop(requests);
        for (pending, response) in batch.into_iter().zip(responses) {
            // A receiver that is gone needs no answer.
            let _ = pending.reply.send(response);
        }
    }

    /// Whether the batch failed for a reason that need not hit each of its requests: one has bad
    /// inputs, or the model turns out to have no batch dimension.
    fn must_run_alone(&self, outcome: &BatchOutcome) -> bool {
        match &outcome.outputs {
            Err(BatchError::NotDivisible { output, shape, rows }) => {
                if self.batches.swap(false, Ordering::Relaxed) {
                    let model = self.model();
                    tracing::warn!(model, output, %shape, rows, "not divisible: batching is off");
                }
                true
            }
            Err(BatchError::Run(RunError::Inputs(_))) => true,
            _ => false,
        }
    }

    fn run_batch(
        self: &Arc<Self>,
        requests: &[&Admitted],
        parallelism: Parallelism,
    ) -> BatchOutcome {
        let session = self.session.load();
        let Some(loaded) = session.as_ref() else {
            let message = "it is being loaded again after its engine panicked".to_owned();
            let outputs = Err(BatchError::Run(RunError::Panicked(message)));
            return BatchOutcome { outputs, times: Default::default() };
        };
        let outcome = batch::run(loaded.session.as_ref(), &self.signature, requests, parallelism);
        let rows = requests.iter().map(|request| request.rows).sum();
        match &outcome.outputs {
            Ok(_) => {
                self.stats.record_batch(rows, outcome.times);
                if parallelism == Parallelism::One {
                    let time = outcome.times.input + outcome.times.infer;
                    self.costs[requests[0].class].record(rows, time);
                }
            }
            Err(BatchError::Run(RunError::Panicked(message))) => self.reload(message),
            Err(_) => {}
        }
        outcome
    }

    /// Turns the outcome of a batch into each request's answer, and records it.
    fn respond(
        &self,
        outcome: BatchOutcome,
        requests: &[&Admitted],
        taken: Instant,
    ) -> Vec<Result<InferResponse, InferError>> {
        let times = outcome.times;
        let compute = times.input + times.infer + times.output;
        let batch_rows = requests.iter().map(|request| request.rows).sum();
        let outputs = match outcome.outputs {
            Ok(outputs) => outputs,
            Err(error) => {
                let error = self.run_failed(&error);
                return requests.iter().map(|_| Err(error.clone())).collect();
            }
        };
        requests
            .iter()
            .zip(outputs)
            .map(|(request, outputs)| {
                let queue = taken.saturating_duration_since(request.options.arrived);
                self.stats.record_success(queue, compute, queue + compute);
                Ok(InferResponse { outputs, timing: Timing { queue, compute, batch_rows } })
            })
            .collect()
    }

    fn run_failed(&self, error: &BatchError) -> InferError {
        let model = self.model();
        match error {
            BatchError::Run(RunError::Inputs(message)) => {
                InferError::invalid(format!("model '{model}' refused the inputs: {message}"))
            }
            BatchError::Run(RunError::Failed(message)) => {
                InferError::internal(format!("model '{model}' failed: {message}"))
            }
            BatchError::Run(RunError::Panicked(message)) => InferError::unavailable(format!(
                "model '{model}' cannot answer right now: {message}"
            )),
            BatchError::NotDivisible { output, shape, rows } => InferError::internal(format!(
                "output '{output}' of model '{model}' has shape {shape}, expected {rows} rows"
            )),
        }
    }

    /// Drops the session and loads another one on a thread of its own. The first caller to
    /// notice starts it, the others find the session gone.
    fn reload(self: &Arc<Self>, message: &str) {
        if self.session.swap(None).is_none() {
            return;
        }
        tracing::error!(model = self.model(), message, "the engine panicked; loading it again");
        let version = Arc::downgrade(self);
        let reload = move || {
            for wait in RELOAD_AFTER {
                std::thread::sleep(wait);
                let Some(version) = version.upgrade() else { return };
                match (version.spec.load)() {
                    Ok(loaded) => return version.session.store(Some(Arc::new(loaded))),
                    Err(error) => {
                        tracing::error!(model = version.model(), %error, "loading again failed");
                    }
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("reload".into()).spawn(reload) {
            tracing::error!(model = self.model(), %error, "cannot start a thread to load again");
        }
    }

    /// The refusal of a request that finds the queue full, with a hint when to come back.
    pub(crate) fn overloaded(&self) -> InferError {
        let waiting = self.queue.len();
        InferError::new(
            ErrorCode::Overloaded,
            format!("the queue of model '{}' is full with {waiting} requests", self.model()),
        )
        .retry_after(Duration::from_secs(1))
    }
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

/// The refusal of a request that waited, or would wait, past its deadline.
pub(crate) fn deadline_exceeded(model: &str) -> InferError {
    let message = format!("the deadline passed while the request waited for model '{model}'");
    InferError::new(ErrorCode::DeadlineExceeded, message)
}
