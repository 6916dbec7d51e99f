//! Runs requests of a version, alone or together, and answers them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use modelyard_engine::{Parallelism, RunError};

use super::Version;
use crate::admit::Admitted;
use crate::batch::{self, BatchError, BatchOutcome};
use crate::cost::thread_cpu_time;
use crate::executor::Next;
use crate::queue::Pending;
use crate::refusal::deadline_exceeded;
use crate::{InferError, InferResponse, Timing, reload};

/// Only dearer runs are spread over several threads: below, waking them costs more than it gains.
const SPREAD_ABOVE: Duration = Duration::from_micros(500);
/// What dearer runs cost is measured in CPU time, which does not count interruptions; cheaper ones
/// are not worth asking the kernel for it.
const CPU_TIME_ABOVE: Duration = Duration::from_micros(200);

impl Version {
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
            reload::start(self);
            let message = "it is being loaded again after its engine panicked".to_owned();
            let outputs = Err(BatchError::Run(RunError::Panicked(message)));
            return BatchOutcome { outputs, times: Default::default() };
        };
        let costly = self.cost(requests[0]).is_some_and(|cost| cost > CPU_TIME_ABOVE);
        let begun = costly.then(thread_cpu_time);
        let outcome = batch::run(loaded.session.as_ref(), &self.signature, requests, parallelism);
        let rows = requests.iter().map(|request| request.rows).sum();
        match &outcome.outputs {
            Ok(_) => {
                self.stats.record_batch(rows, outcome.times);
                if parallelism == Parallelism::One {
                    let elapsed = outcome.times.input + outcome.times.infer;
                    let time = begun.map_or(elapsed, |begun| thread_cpu_time() - begun);
                    self.costs[requests[0].class].record(rows, time);
                }
            }
            Err(BatchError::Run(RunError::Panicked(message))) => self.panicked(message),
            Err(_) => {}
        }
        outcome
    }

    /// Drops the session and loads another one. The first caller to notice starts that, the others
    /// find the session gone.
    fn panicked(self: &Arc<Self>, message: &str) {
        if self.session.drop_session() {
            tracing::error!(model = self.model(), message, "the engine panicked; loading it again");
            reload::start(self);
        }
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
}
