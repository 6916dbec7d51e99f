//! The transport-free serving core.
//!
//! REST and gRPC are thin, equal adapters over one [`Service`]:
//! [`Service::route`] gives the [`Version`] a request is for, the adapter decodes the wire
//! straight into an [`InferRequest`] by that version's signature, and [`Service::infer`] answers.

mod admit;
mod batch;
mod config;
mod cost;
mod error;
mod executor;
mod probe;
mod queue;
mod record;
mod refusal;
mod reload;
mod request;
mod route;
mod service;
mod shadow;
mod stats;
mod table;
mod trial;
mod turn;
mod version;
mod warm;

pub use config::{BatchingConfig, ModelConfig, QueueConfig};
pub use error::{ErrorCode, InferError};
pub use record::{Next, Recorder, RecorderFigures, Sample, Samples};
pub use request::{InferRequest, InferResponse, Input, RequestOptions, Timing};
pub use route::{Route, Routed, Sticky};
pub use service::{Phase, Service, ServiceConfig};
pub use stats::{
    BatchStats, CountAndTime, FailureReason, HistogramSnapshot, Stage, StatsSnapshot, VersionStats,
};
pub use table::{IndexEntry, VersionState};
pub use trial::Trial;
pub use version::{Labels, Version, VersionSpec};
pub use warm::RecordedInputs;
