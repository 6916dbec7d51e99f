//! Which registry, and in whose name.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use modelyard_registry::{Actor, Place, Reference, Registry, RegistryError, Version};
use serde::Serialize;

use crate::cli::Globals;
use crate::config::{Config, Overrides, keys};
use crate::exit::{Exit, ExitWith};
use crate::output;

/// Which registry, and in whose name.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every registry command")]
pub(super) struct PlaceArgs {
    /// The registry: a folder, or postgres://USER@HOST/DATABASE [default: registry in the data folder]
    #[arg(long, global = true, value_name = "DIR|URL")]
    registry: Option<String>,
    /// Where contents of a registry in PostgreSQL are: a folder that all machines see, s3://BUCKET/PREFIX,
    /// gs://BUCKET/PREFIX or az://CONTAINER/PREFIX
    #[arg(long, global = true, value_name = "PLACE")]
    registry_contents: Option<String>,
    /// Encrypt contents by this key; `modelyard keys new --encryption` makes one. Of several the first
    /// encrypts, all decrypt
    #[arg(long, global = true, value_name = "FILE")]
    encryption_key: Vec<String>,
    /// Who does it, for the log [default: user and host]
    #[arg(long, global = true, value_name = "NAME", env = "MODELYARD_ACTOR")]
    actor: Option<String>,
    /// Why, for the log
    #[arg(long, global = true, value_name = "TEXT")]
    why: Option<String>,
    /// Print one JSON object
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A registry, and in whose name things are done.
pub(super) struct Desk {
    place: Place,
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

impl PlaceArgs {
    fn overrides(&self, others: Overrides) -> Overrides {
        let keys = Some(self.encryption_key.join(",")).filter(|keys| !keys.is_empty());
        others
            .flag("registry", keys::REGISTRY.name, self.registry.as_ref())
            .flag(
                "registry-contents",
                keys::REGISTRY_CONTENTS.name,
                self.registry_contents.as_ref(),
            )
            .flag("encryption-key", keys::REGISTRY_ENCRYPTION_KEY.name, keys.as_ref())
    }
}

impl Desk {
    pub(super) fn new(
        (args, makes): (&PlaceArgs, bool),
        globals: &Globals,
        overrides: Overrides,
    ) -> anyhow::Result<Desk> {
        let config = Config::load(globals, args.overrides(overrides)).exit_with(Exit::Usage)?;
        let place = config.registry.place().map_err(coded)?;
        let actor = Actor {
            name: args.actor.clone().unwrap_or_else(user_at_host),
            now_us: now_us(),
            why: args.why.clone().unwrap_or_default(),
        };
        Ok(Desk { place, makes, config, json: args.json, actor })
    }

    /// Opens the registry, works, closes it.
    pub(super) fn run(
        self,
        work: impl AsyncFnOnce(&OpenDesk) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        block_on(async {
            let Desk { place, makes, config, json, actor } = self;
            let registry = open(&place, makes).await?;
            let desk = OpenDesk { registry, actor, config, json };
            let worked = work(&desk).await;
            desk.registry.close().await;
            worked
        })
    }
}

/// Runs to the end on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(work)
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
        tell(self.json, value, text)
    }
}

/// Prints JSON, or text.
pub(super) fn tell(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match json {
        true => output::json(value),
        false => Ok(output::line(text().trim_end())?),
    }
}

pub(super) async fn open(place: &Place, makes: bool) -> anyhow::Result<Registry> {
    match place.open(makes).await {
        Ok(registry) => Ok(registry),
        // Whoever only looks may have mistyped the folder.
        Err(error @ RegistryError::NotFound(_)) => Err(Exit::Failure.coded(anyhow!(
            "{error}; `modelyard registry push` makes one, --registry names another"
        ))),
        Err(error) => {
            Err(coded(error)).with_context(|| format!("failed to open the registry '{place}'"))
        }
    }
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
