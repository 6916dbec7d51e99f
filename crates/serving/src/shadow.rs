//! Copies of requests for a candidate: run after the answer was given, compared with it, dropped.
//!
//! ```text
//! Service::infer ─answer→ caller
//!       └─ Copy ─bounded channel→ a thread of its own ─ candidate ─ compare → Trial
//! ```
//!
//! Copies must not be felt. They are the first that give way: none is made while requests wait for
//! the version that answers, few wait, few are under way at once, and in the candidate's queue they
//! come last. Their bytes are bounded as well: what a client may have under way is counted only
//! until it is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use modelyard_rollout::{Difference, compare_tensors};
use modelyard_tensor::Tensor;
use smallvec::SmallVec;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::trial::Trial;
use crate::{InferError, InferRequest, InferResponse, RequestOptions, Service};

/// Most copies that wait, and most that are under way.
const WAITING: usize = 64;
const UNDER_WAY: usize = 8;
/// Most bytes of inputs and answers that copies hold, all together; one alone may hold more.
const MAX_BYTES: usize = 64 << 20;

/// A request that was answered, for the candidate.
struct Copy {
    request: InferRequest,
    answer: SmallVec<[Tensor; 2]>,
    trial: Arc<Trial>,
    _held: Held,
}

/// Bytes that a copy holds, until it is dropped.
struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Held {
    /// Room for so many bytes, if there is any.
    fn take(bytes: usize, all: &Arc<AtomicUsize>) -> Option<Held> {
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { bytes, all: all.clone() };
        (before == 0 || before + bytes <= MAX_BYTES).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Takes copies.
pub(crate) struct Shadow {
    copies: Sender<Copy>,
    held: Arc<AtomicUsize>,
}

impl Shadow {
    /// Starts the thread that runs copies; it ends with the service.
    pub(crate) fn start(service: &Arc<Service>) -> std::io::Result<Shadow> {
        let (sender, copies) = channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let service = Arc::downgrade(service);
        let work = move || runtime.block_on(work(copies, service));
        std::thread::Builder::new().name("shadow".into()).spawn(work)?;
        Ok(Shadow { copies: sender, held: Arc::default() })
    }

    /// Hands a copy over, unless there is no room for it.
    pub(crate) fn submit(&self, request: InferRequest, answer: &InferResponse, trial: Arc<Trial>) {
        let inputs: usize = request.inputs.iter().map(|input| input.data.len()).sum();
        let outputs: usize = answer.outputs.iter().map(|output| output.data().len()).sum();
        let Some(held) = Held::take(inputs + outputs, &self.held) else {
            return trial.record_shed();
        };
        let copy = Copy { request, answer: answer.outputs.clone(), trial, _held: held };
        if let Err(refused) = self.copies.try_send(copy) {
            refused.into_inner().trial.record_shed();
        }
    }
}

async fn work(mut copies: Receiver<Copy>, service: Weak<Service>) {
    lower_priority();
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    while let Some(copy) = copies.recv().await {
        let Some(service) = service.upgrade() else { return };
        // Never closed.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        tokio::spawn(async move {
            copy.run(&service).await;
            drop(place);
        });
    }
}

impl Copy {
    async fn run(self, service: &Service) {
        let Copy { mut request, answer, trial, _held } = self;
        let arrived = Instant::now();
        // Last in every queue.
        request.options = RequestOptions { priority: i32::MIN, ..RequestOptions::arrived(arrived) };
        let answered = service.answer(request).await;
        let outcome = answered.map(|copied| difference(&answer, &copied.outputs));
        let outcome = outcome.map_err(|error: InferError| error.code);
        trial.record_copy(outcome, arrived.elapsed());
    }
}

/// The worst difference of all outputs.
fn difference(answer: &[Tensor], copied: &[Tensor]) -> Difference {
    if answer.len() != copied.len() {
        return Difference::INCOMPARABLE;
    }
    let pairs = answer.iter().zip(copied);
    let differences = pairs.map(|(one, other)| compare_tensors(one.view(), other.view()));
    differences.fold(Difference::NONE, Difference::worst)
}

/// Lets threads that answer somebody go first.
#[cfg(target_os = "linux")]
fn lower_priority() {
    // On Linux a priority is a thread's own: process 0 is the thread that calls. Where it cannot be
    // lowered, copies are still bounded.
    let _ = rustix::process::setpriority_process(None, 19);
}

/// Elsewhere priorities are those of processes.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_hold_so_many_bytes_and_give_them_back() {
        let all = Arc::default();
        let first = Held::take(MAX_BYTES + 1, &all).expect("one alone may be larger");
        assert!(Held::take(1, &all).is_none());
        drop(first);
        let half = Held::take(MAX_BYTES / 2, &all).expect("there is room again");
        assert!(Held::take(MAX_BYTES, &all).is_none());
        assert!(Held::take(MAX_BYTES / 2, &all).is_some());
        drop(half);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
