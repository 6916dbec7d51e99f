//! What goes in and out of the core.

use std::time::{Duration, Instant};

use modelyard_tensor::{DataType, Rope, Shape, Tensor};
use smallvec::SmallVec;

use crate::Routed;

/// One request, decoded and routed, not yet checked against the signature.
pub struct InferRequest {
    /// The version that answers; from [`crate::Service::route`]. Holding it keeps it loaded.
    pub version: Routed,
    /// The inputs, in the order of the signature.
    pub inputs: SmallVec<[Input; 2]>,
    /// Positions in the signature's outputs, in the order wanted; empty means all of them.
    pub outputs: SmallVec<[usize; 4]>,
    /// How to treat the request.
    pub options: RequestOptions,
}

/// One input tensor as it came from the wire.
#[derive(Clone)]
pub struct Input {
    /// What the client says the elements are.
    pub data_type: DataType,
    /// The shape the client gives, batch dimension included.
    pub shape: Shape,
    /// Little-endian bytes, perhaps in pieces; `BYTES` in the protocol's binary form.
    pub data: Rope,
}

/// How to treat a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions {
    /// When the request arrived.
    pub arrived: Instant,
    /// Answer by then or not at all.
    pub deadline: Option<Instant>,
    /// Higher is served first. 0 is the default (the protocol's numbering, where 1 is the
    /// highest, is translated by the adapters).
    pub priority: i32,
}

impl RequestOptions {
    /// No deadline, default priority.
    pub fn arrived(arrived: Instant) -> Self {
        RequestOptions { arrived, deadline: None, priority: 0 }
    }
}

/// The answer.
#[derive(Debug)]
pub struct InferResponse {
    /// The outputs asked for, in the order asked for. Slices of a batch share its memory.
    pub outputs: SmallVec<[Tensor; 2]>,
    /// Where the time went.
    pub timing: Timing,
}

/// Where the time of one request went, as the core saw it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// From arrival in the core to the start of the batch.
    pub queue: Duration,
    /// Gathering inputs, running the engine, splitting outputs.
    pub compute: Duration,
    /// Rows in the batch that this request was part of.
    pub batch_rows: usize,
}
