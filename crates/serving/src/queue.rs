//! The bounded queue of one version: requests wait here, in buckets that can share a batch.
//!
//! One short lock; nobody runs a model or waits while holding it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::admit::{Admitted, ShapeKey};
use crate::config::{BatchingConfig, QueueConfig};
use crate::{InferError, InferResponse};

/// Where the answer to a request goes.
pub(crate) type Reply = oneshot::Sender<Result<InferResponse, InferError>>;

/// A request that waits.
pub(crate) struct Pending {
    pub(crate) id: u64,
    pub(crate) request: Admitted,
    pub(crate) reply: Reply,
}

/// What a free instance finds.
#[derive(Default)]
pub(crate) struct Taken {
    /// Run these together; empty when there is nothing to run now.
    pub(crate) batch: Vec<Pending>,
    /// These waited past their deadline.
    pub(crate) expired: Vec<Pending>,
    /// Nothing to run now, but look again then.
    pub(crate) wait_until: Option<Instant>,
}

/// Why a request was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Requests,
    Bytes,
}

#[derive(Default)]
struct State {
    buckets: Vec<Bucket>,
    bytes: usize,
    /// How many of those waiting have a deadline.
    deadlines: usize,
    next_id: u64,
    /// Instances running or on their way.
    active: usize,
    /// When a timer will look again, if one is set.
    timer: Option<Instant>,
}

struct Bucket {
    key: ShapeKey,
    /// By priority, then by arrival.
    waiting: VecDeque<Pending>,
    rows: usize,
}

/// The queue of one version.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Requests waiting; written under the lock, read without.
    requests: AtomicUsize,
    /// Rows waiting, likewise.
    rows: AtomicUsize,
    instances: usize,
    limits: QueueConfig,
}

impl Queue {
    pub(crate) fn new(instances: usize, limits: QueueConfig) -> Self {
        let state = Mutex::default();
        let (requests, rows) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Queue { state, requests, rows, instances, limits }
    }

    /// Requests waiting.
    pub(crate) fn len(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Rows waiting.
    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// Whether one more request would be refused whatever it holds.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limits.max_requests
    }

    /// Queues a request. Answers its id and whether an instance must be woken for it.
    pub(crate) fn push(&self, request: Admitted, reply: Reply) -> Result<(u64, bool), Full> {
        let mut state = self.state.lock();
        if self.len() >= self.limits.max_requests {
            return Err(Full::Requests);
        }
        // An empty queue takes any request, however large: else it would never be served.
        if state.bytes > 0 && state.bytes.saturating_add(request.bytes) > self.limits.max_bytes {
            return Err(Full::Bytes);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.bytes += request.bytes;
        state.deadlines += usize::from(request.options.deadline.is_some());
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(request.rows, Ordering::Relaxed);
        state.insert(Pending { id, request, reply });
        let wake = state.active < self.instances;
        state.active += usize::from(wake);
        Ok((id, wake))
    }

    /// Removes a request whose caller went away, if it still waits.
    pub(crate) fn cancel(&self, id: u64) -> Option<Pending> {
        let mut state = self.state.lock();
        let (bucket, place) = state.buckets.iter().enumerate().find_map(|(index, bucket)| {
            let place = bucket.waiting.iter().position(|pending| pending.id == id)?;
            Some((index, place))
        })?;
        let pending = state.buckets[bucket].waiting.remove(place)?;
        state.buckets[bucket].rows -= pending.request.rows;
        self.left(&mut state, &pending);
        state.buckets.retain(|bucket| !bucket.waiting.is_empty());
        Some(pending)
    }

    /// Takes the next batch: the bucket whose first request is the most urgent, up to
    /// `limit(first request)` rows. When there is nothing to run, the instance is given back.
    pub(crate) fn take(
        &self,
        now: Instant,
        batching: &BatchingConfig,
        limit: impl Fn(&Admitted) -> usize,
    ) -> Taken {
        let mut state = self.state.lock();
        let mut taken = Taken { expired: self.remove_expired(&mut state, now), ..Taken::default() };
        let Some(index) = state.most_urgent() else {
            state.active -= 1;
            return taken;
        };
        let bucket = &mut state.buckets[index];
        let limit = bucket.waiting.front().map_or(1, |first| limit(&first.request)).max(1);
        if let Some(until) = bucket.worth_waiting(now, batching, limit) {
            state.active -= 1;
            if state.timer.is_none_or(|timer| until < timer || timer <= now) {
                state.timer = Some(until);
                taken.wait_until = Some(until);
            }
            return taken;
        }
        taken.batch = bucket.take(limit);
        for pending in &taken.batch {
            self.left(&mut state, pending);
        }
        state.buckets.retain(|bucket| !bucket.waiting.is_empty());
        taken
    }

    /// Called when a timer fires: whether an instance may look.
    pub(crate) fn timer_fired(&self) -> bool {
        let mut state = self.state.lock();
        state.timer = None;
        let free = state.active < self.instances && !state.buckets.is_empty();
        state.active += usize::from(free);
        free
    }

    /// Called by an instance that ended abnormally.
    pub(crate) fn give_back_instance(&self) {
        self.state.lock().active -= 1;
    }

    /// Takes an instance for a run on the caller's thread, unless all are busy.
    pub(crate) fn try_instance(&self) -> bool {
        let mut state = self.state.lock();
        let free = state.active < self.instances;
        state.active += usize::from(free);
        free
    }

    /// Gives it back. Answers whether requests came meanwhile, which then need an instance: the
    /// caller passes this one on to the executor.
    pub(crate) fn finish_instance(&self) -> bool {
        let mut state = self.state.lock();
        let more = !state.buckets.is_empty();
        state.active -= usize::from(!more);
        more
    }

    fn remove_expired(&self, state: &mut State, now: Instant) -> Vec<Pending> {
        if state.deadlines == 0 {
            return Vec::new();
        }
        let late = |pending: &Pending| pending.request.options.deadline.is_some_and(|at| at <= now);
        let mut expired = Vec::new();
        for bucket in &mut state.buckets {
            while let Some(place) = bucket.waiting.iter().position(late) {
                let Some(pending) = bucket.waiting.remove(place) else { break };
                bucket.rows -= pending.request.rows;
                expired.push(pending);
            }
        }
        if !expired.is_empty() {
            expired.iter().for_each(|pending| self.left(state, pending));
            state.buckets.retain(|bucket| !bucket.waiting.is_empty());
        }
        expired
    }

    fn left(&self, state: &mut State, pending: &Pending) {
        state.bytes -= pending.request.bytes;
        state.deadlines -= usize::from(pending.request.options.deadline.is_some());
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.rows.fetch_sub(pending.request.rows, Ordering::Relaxed);
    }
}

impl State {
    fn insert(&mut self, pending: Pending) {
        let key = pending.request.shape_key();
        let index = match self.buckets.iter().position(|bucket| bucket.key == key) {
            Some(index) => index,
            None => {
                self.buckets.push(Bucket { key, waiting: VecDeque::new(), rows: 0 });
                self.buckets.len() - 1
            }
        };
        let bucket = &mut self.buckets[index];
        bucket.rows += pending.request.rows;
        let priority = pending.request.options.priority;
        let behind = |other: &Pending| other.request.options.priority >= priority;
        let place = bucket.waiting.iter().rposition(behind).map_or(0, |last| last + 1);
        bucket.waiting.insert(place, pending);
    }

    fn most_urgent(&self) -> Option<usize> {
        let urgency = |bucket: &Bucket| {
            let first = bucket.waiting.front()?;
            Some((std::cmp::Reverse(first.request.options.priority), first.id))
        };
        (0..self.buckets.len()).min_by_key(|&index| urgency(&self.buckets[index]))
    }
}

impl Bucket {
    /// Until when it is worth waiting for more rows; only when the configuration asks to wait.
    fn worth_waiting(
        &self,
        now: Instant,
        batching: &BatchingConfig,
        limit: usize,
    ) -> Option<Instant> {
        if batching.max_queue_delay == Duration::ZERO {
            return None;
        }
        let preferred = batching.preferred_batch_sizes.contains(&self.rows);
        if preferred || self.rows >= limit {
            return None;
        }
        let oldest = self.waiting.iter().map(|pending| pending.request.options.arrived).min()?;
        let until = oldest + batching.max_queue_delay;
        (until > now).then_some(until)
    }

    /// The first requests that fit into `limit` rows; always at least one.
    fn take(&mut self, limit: usize) -> Vec<Pending> {
        let mut batch = Vec::new();
        let mut rows = 0;
        while let Some(next) = self.waiting.front() {
            if rows > 0 && rows + next.request.rows > limit {
                break;
            }
            rows += next.request.rows;
            batch.extend(self.waiting.pop_front());
        }
        self.rows -= rows;
        batch
    }
}
