//! The server as a whole: [`App::build`] puts engines, core and network together, [`App::run`]
//! takes it through its life: starting → ready → draining → stopped.

mod address_file;
mod lifecycle;
mod load;
pub(crate) mod parent;
pub(crate) mod stop;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use anyhow::Context;
use modelyard_server::{Addresses, Running, Server, ServerConfig};
use modelyard_serving::{Service, ServiceConfig, VersionState};
use tempfile::TempDir;
use tokio::sync::oneshot;

use address_file::AddressFile;

use crate::config::{Config, EngineConfig, LifecycleConfig};
use crate::observe::progress::Progress;
use crate::source::ModelSource;

/// A server that listens; nothing is loaded yet.
pub(crate) struct App {
    service: Arc<Service>,
    server: Running,
    engine: EngineConfig,
    sources: Vec<ModelSource>,
    lifecycle: LifecycleConfig,
    progress: Progress,
    /// Fires when this process itself wants the server to end.
    asked: Option<oneshot::Receiver<()>>,
    /// Removed in the end, however that comes about.
    address_file: Option<AddressFile>,
    /// The same, where the models are this process's own.
    folder: Option<TempDir>,
}

impl App {
    /// Starts the core and listens, so that liveness is answered while models load.
    pub(crate) fn build(
        config: &Config,
        sources: Vec<ModelSource>,
        progress: Progress,
    ) -> anyhow::Result<App> {
        let address_file =
            config.listen.address_file.as_deref().map(AddressFile::new).transpose()?;
        let service = Service::new(ServiceConfig {
            threads: config.engine.threads,
            strict_readiness: config.lifecycle.strict_readiness,
        })
        .context("failed to start the threads that run models")?;
        for source in &sources {
            announce(&service, source);
        }
        let server = Server::start(server_config(config)?, service.clone())?;
        Ok(App {
            service,
            server,
            engine: config.engine.clone(),
            sources,
            lifecycle: config.lifecycle,
            progress,
            asked: None,
            address_file,
            folder: None,
        })
    }

    /// Where the server listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.server.addresses()
    }

    /// Removes a folder when the server ends.
    pub(crate) fn keep(&mut self, folder: TempDir) {
        self.folder = Some(folder);
    }

    /// Sending on it ends the server as SIGTERM does. Dropping it means nothing.
    pub(crate) fn stopper(&mut self) -> oneshot::Sender<()> {
        let (stopper, asked) = oneshot::channel();
        self.asked = Some(asked);
        stopper
    }
}

/// Puts every version into the index, so that nobody takes an unloaded model for an unknown one.
fn announce(service: &Service, source: &ModelSource) {
    for version in &source.versions {
        service.set_version(&source.name, version.number, VersionState::Loading);
    }
    if source.versions.is_empty() {
        // The index lists versions; a model without any shows as its first.
        let reason = source.mistakes.line();
        tracing::warn!(model = source.name, "model is not available: {reason}");
        service.set_version(&source.name, 1, VersionState::Unavailable(reason));
    }
}

fn server_config(config: &Config) -> anyhow::Result<ServerConfig> {
    let listen = &config.listen;
    Ok(ServerConfig {
        http_address: listen.http.as_deref().map(resolve).transpose()?,
        grpc_address: listen.grpc.as_deref().map(resolve).transpose()?,
        metrics_address: listen.metrics.as_deref().map(resolve).transpose()?,
        io_threads: listen.io_threads,
        default_model: listen.default_model.clone(),
        limits: config.limits.clone(),
    })
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let mut found = address
        .to_socket_addrs()
        .with_context(|| format!("failed to resolve the address '{address}'"))?;
    found.next().with_context(|| format!("found no address for '{address}'"))
}
