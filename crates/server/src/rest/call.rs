//! One request on its way through a handler, and the times that are noted of it.

use std::cell::RefCell;
use std::time::Instant;

use http::Response;
use modelyard_serving::{Stage, Version};
use modelyard_tensor::Rope;

use super::App;
use crate::error::wire;
use crate::http::{Body, Frames, Inbound, Refusal, read};
use crate::io::Watch;

/// One request: what its handler can see.
pub(crate) struct Call<'a> {
    pub(super) app: &'a App,
    pub(super) watch: &'a Watch,
    /// When its header had been read.
    pub(super) arrived: Instant,
}

impl Call<'_> {
    /// Reads the body of a request for `version`, unless that is too busy to take any.
    pub(super) async fn receive<'v>(
        &self,
        version: &'v Version,
        request: &mut Inbound,
    ) -> Result<Received<'v>, Refusal> {
        let body = match version.check_capacity() {
            Ok(()) => self.read(request).await,
            Err(error) => Err(error.into()),
        };
        let read_at = Instant::now();
        match body {
            Ok(body) => Ok(Received { body, version, arrived: self.arrived, read_at }),
            Err(refusal) => Err(refused(version, self.arrived, refusal)),
        }
    }

    /// Reads a body.
    pub(super) async fn read(&self, request: &mut Inbound) -> Result<Body, Refusal> {
        read(request, self.app.limits(), &self.app.bodies, self.watch).await
    }

    /// Encodes an answer of `version` and notes how long that, and all of the request, took.
    pub(super) fn encoded(
        &self,
        version: &Version,
        encode: impl FnOnce() -> Result<Response<Frames>, Refusal>,
    ) -> Result<Response<Frames>, Refusal> {
        let answered_at = Instant::now();
        let response = encode();
        let now = Instant::now();
        version.stats().record_stage(Stage::Encode, now - answered_at);
        version.stats().record_stage(Stage::Request, now - self.arrived);
        response
    }
}

/// A request for a version whose body has been read.
pub(super) struct Received<'v> {
    pub(super) body: Body,
    version: &'v Version,
    arrived: Instant,
    read_at: Instant,
}

impl Received<'_> {
    /// Notes how long decoding took, or that it failed.
    pub(super) fn parsed<T>(&self, decoded: Result<T, Refusal>) -> Result<T, Refusal> {
        self.version.stats().record_stage(Stage::Parse, self.read_at.elapsed());
        decoded.map_err(|refusal| refused(self.version, self.arrived, refusal))
    }
}

/// Notes that a request failed before it reached the core.
fn refused(version: &Version, arrived: Instant, refusal: Refusal) -> Refusal {
    version.stats().record_failure(wire(refusal.code).reason, arrived.elapsed());
    refusal
}

/// Calls `body` with the rope in one piece. Large ropes are joined in memory that the thread
/// keeps: fresh memory would cost page faults.
pub(super) fn with_text<R>(rope: &Rope, body: impl FnOnce(&[u8]) -> R) -> R {
    const KEPT: usize = 4 << 20;
    thread_local! {
        static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    if let Some(text) = rope.as_contiguous(1) {
        return body(text);
    }
    JOINED.with_borrow_mut(|joined| {
        joined.clear();
        rope.chunks().iter().for_each(|chunk| joined.extend_from_slice(chunk));
        let result = body(joined);
        if joined.capacity() > KEPT {
            *joined = Vec::new();
        }
        result
    })
}
