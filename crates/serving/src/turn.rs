//! Requests that are ready on one thread at the same time, run together.
//!
//! A cheap model runs on the thread that received the request. When several connections of that
//! thread have become readable, running their requests one by one would stream the weights
//! through the cache for each. So the first request, instead of running, lets everything else
//! that is ready go first; requests for the same model that turn up meanwhile join it, and when
//! no more do, all run as one batch. Nobody waits for a clock: a turn ends when the thread has nothing else
//! to do.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use modelyard_engine::Parallelism;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::admit::{Admitted, ShapeKey};
use crate::queue::{Pending, Reply};
use crate::{InferError, InferResponse, Version};

/// After so many turns in a row in which nobody joined, the thread seems to serve one caller.
const LONE_TURNS: u32 = 64;
/// Then only one request in so many still lets others go first, to notice when more come.
const LOOK_EVERY: u32 = 4;

thread_local! {
    /// The groups that gather on this thread.
    static GATHERING: RefCell<Vec<Arc<Group>>> = const { RefCell::new(Vec::new()) };
    /// Turns in a row without company, and requests run since without looking for any.
    static LONE: Cell<u32> = const { Cell::new(0) };
    static SKIPPED: Cell<u32> = const { Cell::new(0) };
}

/// Requests for one version, in one shape, that will run together.
struct Group {
    key: ShapeKey,
    limit: usize,
    state: Mutex<State>,
}

/// Empty when the group has run.
#[derive(Default)]
struct State {
    version: Option<Arc<Version>>,
    pending: Vec<Pending>,
    rows: usize,
}

/// Whether it is likely that others are ready on this thread.
pub(crate) fn has_company() -> bool {
    if LONE.get() < LONE_TURNS {
        return true;
    }
    SKIPPED.set(SKIPPED.get() + 1);
    SKIPPED.get().is_multiple_of(LOOK_EVERY)
}

/// Runs a request with those that are ready on this thread, at most `limit` rows together.
pub(crate) async fn run(
    version: &Arc<Version>,
    request: Admitted,
    limit: usize,
) -> Result<InferResponse, InferError> {
    // Declared first and so dropped last: when this caller goes away, its own request is gone
    // before the group runs.
    let lead;
    let (reply, answer) = oneshot::channel();
    lead = join(version, request, reply, limit);
    if let Some(lead) = &lead {
        lead.gather().await;
    }
    drop(lead);
    answer.await.unwrap_or_else(|_| Err(InferError::internal("the request was lost in its batch")))
}

/// Joins a group that gathers, or opens one and leads it.
fn join(version: &Arc<Version>, request: Admitted, reply: Reply, limit: usize) -> Option<Lead> {
    GATHERING.with_borrow_mut(|gathering| {
        let key = request.shape_key();
        let rows = request.rows;
        let pending = Pending { id: 0, request, reply };
        let open = gathering.iter().find(|group| group.takes(version, &key, rows));
        if let Some(group) = open {
            group.state.lock().push(pending);
            return None;
        }
        let mut state = State { version: Some(version.clone()), ..State::default() };
        state.push(pending);
        let group = Arc::new(Group { key, limit, state: Mutex::new(state) });
        // A leader that was moved to another thread could not take its group out here.
        gathering.retain(|group| group.state.lock().version.is_some());
        gathering.push(group.clone());
        Some(Lead(group))
    })
}

impl Group {
    fn takes(&self, version: &Arc<Version>, key: &ShapeKey, rows: usize) -> bool {
        let state = self.state.lock();
        state.version.as_ref().is_some_and(|own| Arc::ptr_eq(own, version))
            && state.rows + rows <= self.limit
            && self.key == *key
    }

    fn rows(&self) -> usize {
        self.state.lock().rows
    }
}

impl State {
    fn push(&mut self, pending: Pending) {
        self.rows += pending.request.rows;
        self.pending.push(pending);
    }
}

/// Whoever leads a group runs it, even when its own caller has gone away.
struct Lead(Arc<Group>);

impl Lead {
    /// Lets everything else that is ready go first, again as long as that brings company: more
    /// becomes ready meanwhile.
    async fn gather(&self) {
        let mut rows = 0;
        while rows < self.0.rows() {
            rows = self.0.rows();
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        GATHERING.with_borrow_mut(|gathering| {
            gathering.retain(|group| !Arc::ptr_eq(group, &self.0));
        });
        let State { version, mut pending, .. } = std::mem::take(&mut *self.0.state.lock());
        LONE.set(if pending.len() > 1 { 0 } else { LONE.get().saturating_add(1) });
        pending.retain(|pending| !pending.reply.is_closed());
        if let Some(version) = version
            && !pending.is_empty()
        {
            version.run_pending(pending, Instant::now(), Parallelism::One);
        }
    }
}
