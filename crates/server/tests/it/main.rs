//! The server from outside: real sockets, models that need no engine.
//!
//! | module | checks |
//! |---|---|
//! | `infer` | every way to send and get tensors over v2 REST |
//! | `predict` | the plain way |
//! | `about` | metadata, statistics, index, metrics, documents |
//! | `bad_input` | wrong, hostile and broken requests |
//! | `life` | limits, timeouts, draining |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod about;
mod bad_input;
mod client;
mod infer;
mod life;
mod models;
mod predict;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use modelyard_server::{Limits, Running, Server, ServerConfig};
use modelyard_serving::Service;

pub(crate) use client::{Client, Response};

/// A running server with the models of [`models`].
pub(crate) struct Bench {
    pub(crate) service: Arc<Service>,
    pub(crate) running: Running,
}

impl Bench {
    pub(crate) fn start() -> Self {
        Bench::with(|_| {})
    }

    /// With limits of its own.
    pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Bench::serve(models::service(), change)
    }

    /// With models of its own.
    pub(crate) fn serve(service: Arc<Service>, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let free = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let config = ServerConfig {
            http_address: free,
            grpc_address: free,
            metrics_address: free,
            io_threads: 2,
            default_model: None,
            limits,
            repository: None,
        };
        let running = Server::start(config, service.clone()).unwrap();
        Bench { service, running }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running.addresses().http.unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.http())
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.client().request("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.client().request("POST", path, &[], body.as_ref())
    }

    /// Posts JSON of the given length with tensors in binary behind it.
    pub(crate) fn post_binary(&self, path: &str, json: &str, blobs: &[u8]) -> Response {
        let length = json.len().to_string();
        let headers = [("Inference-Header-Content-Length", length.as_str())];
        self.client().request("POST", path, &headers, &[json.as_bytes(), blobs].concat())
    }

    /// The server still answers, whatever was done to it.
    pub(crate) fn check_alive(&self) {
        let response = self.post("/predict/digits", r#"{"image":[1,2,3,0]}"#);
        assert_eq!(response.status, 200, "{}", response.text());
    }
}
