//! The one entry of all adapters.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use crate::admit::{self, Admitted};
use crate::executor::Executor;
use crate::queue::Full;
use crate::refusal::{deadline_exceeded, too_late};
use crate::shadow::Shadow;
use crate::table::RoutingTable;
use crate::trial::Place as TrialPlace;
use crate::turn;
use crate::{
    ErrorCode, FailureReason, IndexEntry, InferError, InferRequest, InferResponse, Recorder, Route,
    Routed, Sticky, Trial, Version, VersionState,
};

/// Where the server stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Models are being loaded.
    Starting,
    /// Requests are answered.
    Ready,
    /// Told to stop: not ready any more, but requests are still answered.
    Draining,
    /// Requests are refused.
    Stopped,
}

/// How the core runs.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Threads that run models; from [`modelyard_engine::threads::budget`] unless told.
    pub threads: usize,
    /// Whether one model that failed makes the server not ready (Triton's `--strict-readiness`).
    pub strict_readiness: bool,
}

/// The serving core.
pub struct Service {
    config: ServiceConfig,
    table: ArcSwap<RoutingTable>,
    phase: AtomicU8,
    executor: Executor,
    recorder: OnceLock<Recorder>,
    shadow: OnceLock<Shadow>,
}

impl Service {
    /// A service without models, in [`Phase::Starting`]. Fails when threads cannot be started.
    pub fn new(config: ServiceConfig) -> std::io::Result<Arc<Self>> {
        let executor = Executor::start(config.threads)?;
        let phase = AtomicU8::new(Phase::Starting as u8);
        let (recorder, shadow) = (OnceLock::new(), OnceLock::new());
        let table = ArcSwap::default();
        Ok(Arc::new(Service { config, table, phase, executor, recorder, shadow }))
    }

    /// The version that answers a request for `model`: the given one, or else one of those that its
    /// [`Route`] shares requests among. `key` gives the value that says who the request is from: where
    /// that is a parameter which is not known yet, [`Routed::sticky_parameter`] names it, and the
    /// request is routed again.
    pub fn route<'a>(
        &self,
        model: &str,
        version: Option<u64>,
        key: impl FnOnce(&Sticky) -> Option<&'a [u8]>,
    ) -> Result<Routed, InferError> {
        self.table.load().route(model, version, key)
    }

    /// The given version of a model, or else the one that leads its [`Route`], or else the highest
    /// that is ready.
    pub fn resolve(&self, model: &str, version: Option<u64>) -> Result<Arc<Version>, InferError> {
        self.table.load().resolve(model, version).cloned()
    }

    /// Answers a request. Dropping the future gives the request up and frees its place.
    pub async fn infer(&self, request: InferRequest) -> Result<InferResponse, InferError> {
        self.infer_called(request, "").await
    }

    /// The same for a request that its client has given a name, which is recorded.
    pub async fn infer_called(
        &self,
        request: InferRequest,
        id: &str,
    ) -> Result<InferResponse, InferError> {
        let InferRequest { version: routed, inputs, outputs, options } = &request;
        let (routed, arrived) = (routed.clone(), options.arrived);
        let recorder = self.recorder.get();
        let observed =
            recorder.and_then(|recorder| recorder.observe(&routed, inputs, outputs, arrived));
        let copy = self.copied(&request);
        let answer = self.answer(request).await;
        if let Some(observed) = observed {
            observed.answered(&routed, id, &answer);
        }
        if let Some(place) = &routed.place {
            place.record(answer.as_ref().err().map(|error| error.code), arrived.elapsed());
        }
        if let (Some((shadow, trial, copy)), Ok(answer)) = (copy, &answer) {
            shadow.submit(copy, answer, trial);
        }
        answer
    }

    /// What goes to the candidate, too, where a copy was drawn and there is room for it.
    fn copied(&self, request: &InferRequest) -> Option<(&Shadow, Arc<Trial>, InferRequest)> {
        let Some(TrialPlace::Copied(trial, candidate)) = &request.version.place else {
            return None;
        };
        let shadow = self.shadow.get()?;
        if request.version.queue().len() > 0 {
            trial.record_shed();
            return None;
        }
        let copy = InferRequest {
            version: Routed::from(candidate.clone()),
            inputs: request.inputs.clone(),
            outputs: request.outputs.clone(),
            options: request.options,
        };
        Some((shadow, trial.clone(), copy))
    }

    /// Answers a request that is noted nowhere but in its version's own figures.
    pub(crate) async fn answer(&self, request: InferRequest) -> Result<InferResponse, InferError> {
        let InferRequest { version, inputs, outputs, options } = request;
        let arrived = options.arrived;
        let admitted = admit::check(&version, inputs, outputs, options)
            .and_then(|admitted| self.check_time(&version, admitted));
        let answer = match admitted {
            Ok(admitted) if version.runs_inline(&admitted) => {
                self.run_here(&version, admitted).await
            }
            Ok(admitted) => self.queue_up(&version, admitted).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            version.stats().record_failure(failure_reason(error.code), arrived.elapsed());
        }
        answer
    }

    /// Has requests recorded from now on. Only the first call counts.
    pub fn record(&self, recorder: Recorder) {
        // One that comes later ends at once: its samples have no sender.
        let _ = self.recorder.set(recorder);
    }

    /// Who records requests, if anybody does.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.get()
    }

    /// Runs a cheap request on this thread, where that pays together with others.
    async fn run_here(
        &self,
        version: &Arc<Version>,
        request: Admitted,
    ) -> Result<InferResponse, InferError> {
        if let Some(limit) = version.gathers(&request)
            && turn::has_company()
        {
            return turn::run(version, request, limit).await;
        }
        if !version.enter() {
            return self.queue_up(version, request).await;
        }
        let answer = version.run_inline(&request);
        if version.leave() {
            self.executor.submit(version.clone());
        }
        answer
    }

    /// Refuses what would come too late, before it costs anything.
    fn check_time(&self, version: &Version, mut request: Admitted) -> Result<Admitted, InferError> {
        if self.phase() == Phase::Stopped {
            return Err(InferError::unavailable("the server is stopping"));
        }
        let options = &mut request.options;
        let default_timeout = version.config().queue.default_timeout;
        options.deadline = options.deadline.or(default_timeout.map(|time| options.arrived + time));
        if let Some(deadline) = options.deadline {
            let wait = self.expected_wait(version, &request);
            let now = Instant::now();
            if now + wait >= deadline {
                return Err(too_late(version.model(), wait, deadline <= now));
            }
        }
        Ok(request)
    }

    /// How long the queue will keep a request, judged by the rows that wait and what they cost.
    fn expected_wait(&self, version: &Version, request: &Admitted) -> Duration {
        let waiting = version.queue().rows();
        let Some(cost) = version.cost(request).filter(|_| waiting > 0) else {
            return Duration::ZERO;
        };
        let rows = waiting as f64 / request.rows as f64 / self.config.threads.max(1) as f64;
        cost.mul_f64(rows)
    }

    /// Lets the request wait for an instance.
    async fn queue_up(
        &self,
        version: &Arc<Version>,
        request: Admitted,
    ) -> Result<InferResponse, InferError> {
        let deadline = request.options.deadline;
        let (reply, answer) = oneshot::channel();
        let (id, wake) = version.queue().push(request, reply).map_err(|full| match full {
            Full::Requests => version.overloaded(),
            Full::Bytes => version.overloaded_with_bytes(),
        })?;
        if wake {
            self.executor.submit(version.clone());
        }
        let place = Place { version, id, waiting: true };
        let answer = match deadline {
            None => answer.await,
            Some(at) => match tokio::time::timeout_at(at.into(), answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(deadline_exceeded(version.model())),
            },
        };
        place.left();
        answer
            .unwrap_or_else(|_| Err(InferError::internal("the request was lost in a failed batch")))
    }

    /// Whether the process answers at all.
    pub fn live(&self) -> bool {
        self.phase() != Phase::Stopped
    }

    /// Whether requests may be sent here.
    pub fn ready(&self) -> bool {
        self.phase() == Phase::Ready
            && (!self.config.strict_readiness || self.table.load().all_ready())
    }

    /// Whether this model (this version, or any) answers requests.
    pub fn model_ready(&self, model: &str, version: Option<u64>) -> bool {
        self.phase() == Phase::Ready && self.table.load().answers(model, version)
    }

    /// Every model's versions and where they stand, by name and number.
    pub fn index(&self) -> Vec<IndexEntry> {
        self.table.load().index()
    }

    /// Every version that answers, by model and number.
    pub fn versions(&self) -> Vec<Arc<Version>> {
        self.table.load().ready().cloned().collect()
    }

    /// Names of all models, whether they answer or not.
    pub fn models(&self) -> Vec<String> {
        self.table.load().names().map(str::to_owned).collect()
    }

    /// Puts a version into the routing table, or replaces where it stands. Requests that hold the
    /// version replaced still end on it.
    pub fn set_version(&self, model: &str, number: u64, state: VersionState) {
        self.set_versions(model, &[(number, state)]);
    }

    /// The same for several versions of a model, in one step: no request sees some of the changes
    /// without the others. Answers the versions that were replaced or taken out; each is unloaded
    /// when the last that holds it lets go.
    pub fn set_versions(&self, model: &str, changes: &[(u64, VersionState)]) -> Vec<Arc<Version>> {
        let at_start = self.phase() == Phase::Starting;
        let before = self.table.rcu(|table| table.with(model, changes, at_start));
        before.replaced_by(model, changes)
    }

    /// The same, and in the same step `route` says which version answers requests that name none.
    /// With `None`, or while no version of it is loaded, the highest does.
    pub fn switch(
        self: &Arc<Self>,
        model: &str,
        changes: &[(u64, VersionState)],
        route: Option<Route>,
    ) -> Vec<Arc<Version>> {
        if route.as_ref().is_some_and(|route| route.trial.is_some()) {
            self.start_shadow();
        }
        let route = route.map(Arc::new);
        let at_start = self.phase() == Phase::Starting;
        let before = self
            .table
            .rcu(|table| table.with(model, changes, at_start).routed(model, route.clone()));
        before.replaced_by(model, changes)
    }

    fn start_shadow(self: &Arc<Self>) {
        if self.shadow.get().is_some() {
            return;
        }
        match Shadow::start(self) {
            // Of two at once one is dropped, and ends.
            Ok(shadow) => drop(self.shadow.set(shadow)),
            Err(error) => tracing::error!("no copies for candidates: no thread for them: {error}"),
        }
    }

    /// Where every version of a model stands, by number.
    pub fn states(&self, model: &str) -> Vec<(u64, VersionState)> {
        self.table.load().states(model)
    }

    /// Where the server stands.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Moves the server on in its life.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// How the core runs.
    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }
}

/// A place in the queue, freed when the caller goes away.
struct Place<'a> {
    version: &'a Arc<Version>,
    id: u64,
    waiting: bool,
}

impl Place<'_> {
    fn left(mut self) {
        self.waiting = false;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.waiting
            && let Some(pending) = self.version.queue().cancel(self.id)
        {
            let waited = pending.request.options.arrived.elapsed();
            let late = pending.request.options.deadline.is_some_and(|at| at <= Instant::now());
            if !late {
                self.version.stats().record_failure(FailureReason::Canceled, waited);
            }
        }
    }
}

fn failure_reason(code: ErrorCode) -> FailureReason {
    match code {
        ErrorCode::Overloaded
        | ErrorCode::Unavailable
        | ErrorCode::StandsBy
        | ErrorCode::OutOfMemory
        | ErrorCode::DeadlineExceeded => FailureReason::Rejected,
        ErrorCode::Cancelled => FailureReason::Canceled,
        ErrorCode::Internal => FailureReason::Backend,
        _ => FailureReason::Other,
    }
}
