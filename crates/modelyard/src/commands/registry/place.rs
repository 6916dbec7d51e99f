//! Which registry, and in whose name.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use modelyard_registry::{Actor, Reference, Registry, RegistryError, Version};
use serde::Serialize;

use crate::cli::Globals;
use crate::config::keys::REGISTRY;
use crate::config::{Config, Overrides};
use crate::exit::{Exit, ExitWith};
use crate::output;

/// Which registry, and in whose name.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every registry command")]
pub(super) struct PlaceArgs {
    /// The registry's folder [default: registry in the data folder]
    #[arg(long, global = true, value_name = "DIR")]
    registry: Option<String>,
    /// Who does it, for the log [default: user and host]
    #[arg(long, global = true, value_name = "NAME", env = "MODELYARD_ACTOR")]
    actor: Option<String>,
    /// Why, for the log
    #[arg(long, global = true, value_name = "TEXT")]
    why: Option<String>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

/// A registry, and in whose name things are done.
pub(super) struct Desk {
    root: PathBuf,
    /// Whether it is made where it is not there.
    makes: bool,
    config: Config,
    json: bool,
    actor: Actor,
}

/// The same with the registry open.
pub(super) struct OpenDesk {
    pub(super) registry: Registry,
    pub(super) actor: Actor,
    pub(super) config: Config,
    pub(super) json: bool,
}

impl Desk {
    pub(super) fn new(
        (args, makes): (&PlaceArgs, bool),
        globals: &Globals,
        overrides: Overrides,
    ) -> anyhow::Result<Desk> {
        let overrides = overrides.flag("registry", REGISTRY.name, args.registry.as_ref());
        let config = Config::load(globals, overrides).exit_with(Exit::Usage)?;
        let root = config.registry.folder.clone();
        let actor = Actor {
            name: args.actor.clone().unwrap_or_else(user_at_host),
            now_us: now_us(),
            why: args.why.clone().unwrap_or_default(),
        };
        Ok(Desk { root, makes, config, json: args.json, actor })
    }

    /// Opens the registry, works, closes it.
    pub(super) fn run(
        self,
        work: impl AsyncFnOnce(&OpenDesk) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("failed to start a runtime")?;
        runtime.block_on(async {
            let Desk { root, makes, config, json, actor } = self;
            let registry = open(&root, makes).await?;
            let desk = OpenDesk { registry, actor, config, json };
            let worked = work(&desk).await;
            desk.registry.close().await;
            worked
        })
    }
}

impl OpenDesk {
    /// The version that a reference means.
    pub(super) async fn find(&self, reference: &str) -> anyhow::Result<Version> {
        let reference: Reference = reference.parse().map_err(coded)?;
        self.registry.find(&reference).await.map_err(coded)
    }

    /// Prints JSON where it was asked for, else text.
    pub(super) fn tell(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.json {
            true => output::json(value),
            false => Ok(output::line(text().trim_end())?),
        }
    }
}

pub(super) async fn open(root: &Path, makes: bool) -> anyhow::Result<Registry> {
    // Whoever only looks may have mistyped the folder.
    if !makes && !Registry::is_at(root) {
        return Err(Exit::Failure.coded(anyhow!(
            "there is no registry in '{}'; `modelyard registry push` makes one, --registry names another",
            root.display()
        )));
    }
    let opened = Registry::open(root).await.map_err(coded);
    opened.with_context(|| format!("failed to open the registry '{}'", root.display()))
}

/// An error with the exit code that it means.
pub(super) fn coded(error: RegistryError) -> anyhow::Error {
    let exit = match error {
        RegistryError::Invalid(_) => Exit::Usage,
        RegistryError::Untrusted(_) => Exit::Model,
        _ => Exit::Failure,
    };
    exit.coded(error.into())
}

/// Microseconds since 1970, UTC.
pub(super) fn now_us() -> i64 {
    // A clock before 1970 is not set: what is done now is said to be done then.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn user_at_host() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let number = || format!("uid-{}", rustix::process::getuid().as_raw());
    format!("{}@{host}", user.unwrap_or_else(number))
}
