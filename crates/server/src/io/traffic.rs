//! What one IO thread counts. Each thread has its own counters, so that counting shares no cache
//! line between threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use http::StatusCode;
use tonic::Code;

use crate::error::GRPC_NAMES;
use crate::metrics::ServerFigures;

/// Classes of status, from the first digit 1 on.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one IO thread.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Traffic {
    connections: AtomicUsize,
    responses: [AtomicU64; CLASSES.len()],
    calls: [AtomicU64; GRPC_NAMES.len()],
}

impl Traffic {
    /// Connections open or on their way.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Counts a connection in; it is counted out when the guard is dropped.
    pub(super) fn connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }

    /// Counts an HTTP response. Only the IO thread itself does.
    pub(super) fn response(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.responses.get(class) {
            count(counter);
        }
    }

    /// Counts a gRPC call. Only the IO thread itself does.
    pub(super) fn call(&self, code: Code) {
        count(&self.calls[code as usize]);
    }
}

/// Cheaper than an atomic addition, which only several writers would need.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// A connection that is counted.
pub(super) struct OpenConnection(Arc<Traffic>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// The counters of all IO threads together.
pub(crate) fn figures(threads: &[Arc<Traffic>]) -> ServerFigures {
    let sum = |counter: &dyn Fn(&Traffic) -> &AtomicU64| {
        threads.iter().map(|thread| counter(thread).load(Relaxed)).sum()
    };
    let http = |(index, class)| ("http", class, sum(&|thread| &thread.responses[index]));
    let grpc = |(index, name)| ("grpc", name, sum(&|thread| &thread.calls[index]));
    ServerFigures {
        connections: threads.iter().map(|thread| thread.connections()).sum(),
        responses: CLASSES
            .into_iter()
            .enumerate()
            .map(http)
            .chain(GRPC_NAMES.into_iter().enumerate().map(grpc))
            .collect(),
    }
}
