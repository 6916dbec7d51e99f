//! Spans to an OpenTelemetry collector, over OTLP/HTTP with JSON bodies.
//!
//! Written by hand because so little is needed: one span a request, made by the server only when
//! this is on, put into a bounded queue, sent by a thread of its own. A full queue drops spans and
//! counts them; serving never waits for a collector.
//!
//! | module | holds |
//! |---|---|
//! | `context` | ids, and the W3C `traceparent` of callers |
//! | `layer` | from `tracing` spans to finished ones |
//! | `encode` | the JSON of OTLP |
//! | `export` | the thread that sends, and the endpoint |

mod context;
mod encode;
mod export;
mod layer;

pub(crate) use export::{Endpoint, Exporter};
pub(crate) use layer::SpanLayer;

/// The target of spans that are exported: one a request.
pub(crate) use modelyard_server::trace::TARGET;
