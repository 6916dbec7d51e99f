//! The IO threads and the acceptor that spreads connections over them.
//!
//! Each IO thread is a single-threaded runtime: a connection stays on the thread that it was
//! given to, and cheap models run there too, so that a request meets no lock and no other thread
//! from its first byte to its last.

mod acceptor;
mod connection;
mod thread;
mod traffic;
mod watch;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use modelyard_serving::Service;
use socket2::{Domain, Socket, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::acceptor::Acceptor;
pub(crate) use self::connection::Protocol;
use self::connection::Speaker;
use self::thread::Door;
pub(crate) use self::traffic::{Traffic, figures};
pub(crate) use self::watch::{InFlight, Watch};
use self::watch::{Order, Patience};
use crate::ServerConfig;
use crate::grpc::{Grpc, Room};
use crate::http::Bodies;
use crate::rest::App;

/// Why the network side did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("failed to listen on {address} for {what}")]
    Bind {
        /// What would have listened.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread did not start.
    #[error("failed to start the network threads")]
    Threads(#[source] std::io::Error),
}

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// REST.
    pub http: Option<SocketAddr>,
    /// gRPC.
    pub grpc: Option<SocketAddr>,
    /// Metrics alone.
    pub metrics: Option<SocketAddr>,
}

/// A connection on its way to its IO thread. The place is given back when it ends.
struct Accepted {
    stream: TcpStream,
    protocol: Protocol,
    peer: Option<SocketAddr>,
    place: OwnedSemaphorePermit,
}

/// A server that listens.
///
/// Dropping it closes everything at once; [`Running::shutdown`] does so with grace.
pub struct Running {
    addresses: Addresses,
    stop: tokio::sync::watch::Sender<bool>,
    doors: Arc<[Door]>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// The addresses that were bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.doors.iter().map(Door::connections).sum()
    }

    /// Closes the listeners. Open connections go on.
    pub fn stop_accepting(&self) {
        self.stop.send_replace(true);
    }

    /// Stops accepting, lets every connection finish the requests it has under way, and closes
    /// the rest when `grace` is over. Blocks until all is closed; tells whether all finished.
    pub fn shutdown(mut self, grace: Duration) -> bool {
        const LOOK_EVERY: Duration = Duration::from_millis(2);
        self.stop_accepting();
        self.doors.iter().for_each(|door| door.tell(Order::Finish));
        let deadline = Instant::now() + grace;
        while self.connections() > 0 && Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
        }
        let finished = self.connections() == 0;
        self.close();
        finished
    }

    fn close(&mut self) {
        self.stop_accepting();
        self.doors.iter().for_each(|door| door.tell(Order::Kill));
        for thread in self.threads.drain(..) {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}

/// Binds and starts everything; see [`crate::Server::start`].
pub(crate) fn start(config: ServerConfig, service: Arc<Service>) -> Result<Running, StartError> {
    let mut listeners = Vec::new();
    let mut bind = |protocol, what, address: Option<SocketAddr>| {
        address.map(|address| {
            let (listener, bound) =
                listen(address).map_err(|source| StartError::Bind { what, address, source })?;
            listeners.push((protocol, listener));
            Ok(bound)
        })
    };
    let addresses = Addresses {
        http: bind(Protocol::Http, "HTTP", config.http_address).transpose()?,
        grpc: bind(Protocol::Grpc, "gRPC", config.grpc_address).transpose()?,
        metrics: bind(Protocol::Metrics, "metrics", config.metrics_address).transpose()?,
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut running = Running { addresses, stop, doors: Arc::new([]), threads: Vec::new() };
    start_threads(&mut running, config, service, Starting { stopped, listeners })
        .map_err(StartError::Threads)?;
    Ok(running)
}

struct Starting {
    stopped: tokio::sync::watch::Receiver<bool>,
    listeners: Vec<(Protocol, TcpListener)>,
}

fn start_threads(
    running: &mut Running,
    config: ServerConfig,
    service: Arc<Service>,
    starting: Starting,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(config.limits.connections));
    let threads = config.io_threads.max(1);
    let bodies = Bodies::new(config.limits.all_bodies_bytes);
    let room = Room { limits: config.limits.clone(), bodies: bodies.clone() };
    let grpc = Arc::new(Grpc::new(service.clone(), room, config.repository.clone()));
    let traffic: Vec<Arc<Traffic>> = (0..threads).map(|_| Arc::default()).collect();
    let app = Arc::new(App::new(service, config, bodies, traffic.clone()));
    let mut doors = Vec::with_capacity(threads);
    for (index, traffic) in traffic.into_iter().enumerate() {
        let speaker = Speaker::new(app.clone(), grpc.clone());
        let patience = Patience::new(app.limits());
        let (door, handle) = thread::start(format!("io-{index}"), patience, speaker, traffic)?;
        running.threads.push(handle);
        doors.push(door);
        running.doors = doors.clone().into();
    }
    let acceptor = Acceptor { doors: running.doors.clone(), places, stop: starting.stopped };
    let listeners = starting.listeners;
    let handle = std::thread::Builder::new().name("acceptor".into()).spawn(move || {
        if let Err(error) = acceptor.run(listeners) {
            tracing::error!(%error, "failed to accept connections");
        }
    })?;
    running.threads.push(handle);
    Ok(())
}

fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    /// Connections that may wait for the acceptor when many come at once.
    const BACKLOG: i32 = 4096;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted server takes its port back at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
