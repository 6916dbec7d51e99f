//! The server as a whole: [`App::build`] puts engines, core and network together, [`App::run`]
//! takes it through its life: starting → ready → draining → stopped.

mod address_file;
mod budget;
mod controller;
mod follower;
mod lifecycle;
mod link;
mod load;
mod memory;
mod orders;
mod others;
pub(crate) mod parent;
mod recorded;
mod recording;
mod retire;
pub(crate) mod stop;
mod trials;
mod watch;
mod workers;

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use anyhow::Context;
use modelyard_server::repository::{Orders, Repository};
use modelyard_server::{Addresses, Running, Server, ServerConfig};
use modelyard_serving::{Service, ServiceConfig, VersionState};
use tempfile::TempDir;
use tokio::sync::oneshot;

use address_file::AddressFile;
use controller::Controller;
use follower::Follower;
use recording::Recording;

use crate::config::{Config, ControlConfig, ControlMode, LifecycleConfig};
use crate::follow::Following;
use crate::observe::progress::Progress;
use crate::source::{Catalogue, EVERY, ModelSource};

/// A server that listens; nothing is loaded yet.
pub(crate) struct App {
    service: Arc<Service>,
    server: Running,
    controller: Arc<Controller>,
    catalogue: Arc<Catalogue>,
    control: ControlConfig,
    /// Loaded at the start.
    sources: Vec<ModelSource>,
    orders: Orders,
    /// Follows the registry, where models come from there.
    follower: Option<Follower>,
    /// The models that it follows.
    followed: Arc<BTreeSet<String>>,
    lifecycle: LifecycleConfig,
    progress: Progress,
    /// Where requests are recorded.
    recording: Option<Recording>,
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
        catalogue: Catalogue,
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
        let recording =
            config.tape.clone().map(|tape| Recording::start(tape, &service)).transpose()?;
        let controller = Controller::new(
            service.clone(),
            (&config.engine, config.tape.as_ref().map(|tape| tape.folder.clone())),
            &config.lifecycle,
        );
        let control = config.control.clone();
        let (sources, others): (Vec<_>, Vec<_>) =
            sources.into_iter().partition(|source| is_wanted(source, &control));
        for source in &sources {
            controller.announce(&source.name, &source.numbers(), &VersionState::Loading);
        }
        for source in &others {
            controller.announce(&source.name, &source.numbers(), &VersionState::Unloaded);
        }
        let (repository, orders) = Repository::new();
        let server = Server::start(server_config(config, repository)?, service.clone())?;
        Ok(App {
            service,
            server,
            controller,
            catalogue: Arc::new(catalogue),
            control,
            sources,
            orders,
            follower: None,
            followed: Arc::default(),
            lifecycle: config.lifecycle,
            progress,
            recording,
            asked: None,
            address_file,
            folder: None,
        })
    }

    /// Where the server listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.server.addresses()
    }

    /// Serves these models of the registry, too.
    pub(crate) fn follow(&mut self, following: Following, config: &Config) -> anyhow::Result<()> {
        self.followed = Arc::new(following.names().map(str::to_owned).collect());
        let follower = Follower::new(self.controller.clone(), config, following)?;
        self.follower = Some(follower);
        Ok(())
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

/// Whether a model is loaded at the start.
fn is_wanted(source: &ModelSource, control: &ControlConfig) -> bool {
    let named = |name: &String| *name == source.name || name == EVERY;
    control.mode != ControlMode::Explicit || control.load_models.iter().any(named)
}

fn server_config(config: &Config, repository: Repository) -> anyhow::Result<ServerConfig> {
    let listen = &config.listen;
    Ok(ServerConfig {
        http_address: listen.http.as_deref().map(resolve).transpose()?,
        grpc_address: listen.grpc.as_deref().map(resolve).transpose()?,
        metrics_address: listen.metrics.as_deref().map(resolve).transpose()?,
        io_threads: listen.io_threads,
        default_model: listen.default_model.clone(),
        limits: config.limits.clone(),
        repository: Some(repository),
    })
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let mut found = address
        .to_socket_addrs()
        .with_context(|| format!("failed to resolve the address '{address}'"))?;
    found.next().with_context(|| format!("found no address for '{address}'"))
}
