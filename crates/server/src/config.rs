//! Addresses and limits: everything about the network side that can be set.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::repository::Repository;

/// How the network side runs. The defaults are Triton's ports and bounds that fit most models.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where REST listens; `None` leaves it out. Port 0 takes any free one.
    pub http_address: Option<SocketAddr>,
    /// Where gRPC listens; `None` leaves it out.
    pub grpc_address: Option<SocketAddr>,
    /// Where `/metrics` alone listens; `None` leaves it out (the REST port has it too).
    pub metrics_address: Option<SocketAddr>,
    /// Threads that read, answer and run cheap models.
    pub io_threads: usize,
    /// The model that `POST /predict` without a name means; unless given, the only one.
    pub default_model: Option<String>,
    /// The bounds.
    pub limits: Limits,
    /// Who loads and unloads models on request; `None` leaves that out.
    pub repository: Option<Repository>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let any = |port| Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        ServerConfig {
            http_address: any(8000),
            grpc_address: any(8001),
            metrics_address: any(8002),
            io_threads: modelyard_engine::threads::budget(),
            default_model: None,
            limits: Limits::default(),
            repository: None,
        }
    }
}

/// What one client may cost at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body or gRPC message as sent.
    pub body_bytes: usize,
    /// Bytes of all request bodies under way together, small ones aside.
    pub all_bodies_bytes: usize,
    /// Bytes of a request body after its content coding is undone.
    pub decompressed_bytes: usize,
    /// Bytes of a response body from which on it is compressed for clients that ask for it.
    pub compress_from_bytes: usize,
    /// Nesting of JSON arrays and objects.
    pub json_depth: usize,
    /// Elements in one tensor.
    pub tensor_elements: usize,
    /// Header fields in one request (HTTP/1.1).
    pub header_count: usize,
    /// Bytes of all header fields of one request.
    pub header_bytes: usize,
    /// Open connections, all ports together.
    pub connections: usize,
    /// Requests under way on one HTTP/2 connection.
    pub concurrent_streams: u32,
    /// From the first byte of a request (or the opening of the connection) to the end of its
    /// header.
    pub header_timeout: Duration,
    /// A connection without a request under way is closed after this long. The default is
    /// above that of the common load balancers, which expect the server to wait longer.
    pub idle_timeout: Duration,
    /// How long a client may take before the first byte of its body, and besides the time that
    /// `body_bytes_per_second` grants it.
    pub body_timeout: Duration,
    /// The slowest rate at which a client may send its body.
    pub body_bytes_per_second: u32,
    /// How long a client may refuse to take any byte of an answer.
    pub write_timeout: Duration,
    /// How long a request may wait for its model to be loaded, where that is not in memory.
    pub load_timeout: Duration,
    /// Requests that wait for models to be loaded, all together.
    pub load_waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 64 << 20,
            all_bodies_bytes: 1 << 30,
            decompressed_bytes: 64 << 20,
            compress_from_bytes: 1024,
            json_depth: 64,
            tensor_elements: 64 << 20,
            header_count: 64,
            header_bytes: 16 << 10,
            connections: 10_000,
            concurrent_streams: 256,
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(620),
            body_timeout: Duration::from_secs(15),
            body_bytes_per_second: 16 << 10,
            write_timeout: Duration::from_secs(30),
            load_timeout: Duration::from_secs(60),
            load_waiting: 1024,
        }
    }
}
