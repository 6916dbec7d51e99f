//! REST and gRPC over the serving core.
//!
//! Two thin, equal adapters over one [`Service`]: only this crate knows HTTP or protobuf.
//!
//! | module | holds |
//! |---|---|
//! | `config` | [`ServerConfig`], [`Limits`]: addresses and every bound |
//! | `io` | the IO threads and the acceptor that spreads connections over them |
//! | `http` | one connection's life, request bodies, response bodies |
//! | `rest` | Open Inference Protocol v2 over HTTP, `/predict`, metrics, OpenAPI |
//! | `json` | numbers straight into tensor buffers and straight out of them |
//! | `grpc` | the same protocol over gRPC |
//! | `metrics` | Prometheus text |
//! | `classification`, `identity`, `options`, `wording` | what means the same in both protocols |
//! | `access`, [`trace`] | the access log, spans |
//! | [`repository`] | orders to load and unload models, for whoever owns them |
//! | `wake` | models that are loaded for whoever asks first |
//! | `error` | error codes on the wire, in one table |

mod access;
mod classification;
mod config;
pub mod error;
pub mod grpc;
#[cfg(test)]
mod hostile;
mod http;
mod identity;
mod io;
mod json;
mod metrics;
mod options;
pub mod repository;
mod rest;
pub mod trace;
mod wake;
mod wording;

use std::sync::Arc;

use modelyard_serving::Service;

pub use config::{Limits, ServerConfig};
pub use io::{Addresses, Running, StartError};

/// The network side of a Modelyard process.
pub struct Server;

impl Server {
    /// Binds every address of `config` and starts to answer for `service`.
    ///
    /// Returns once all listen. Blocks only for that; the work is done on threads of its own.
    pub fn start(config: ServerConfig, service: Arc<Service>) -> Result<Running, StartError> {
        io::start(config, service)
    }
}
