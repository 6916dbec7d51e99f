//! Which registry, and in whose name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use modelyard_registry::{
    Actor, EncryptionKey, Place, Reference, Registry, RegistryError, Version,
};
use serde::Serialize;

use crate::cli::Globals;
use crate::config::{Config, Overrides};
use crate::exit::{Exit, ExitWith};
use crate::output;

/// Which registry, and in whose name.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every registry command")]
pub(super) struct PlaceArgs {
    /// The registry: a folder, or postgres://USER@HOST/DATABASE [default: registry in the data folder]
    #[arg(
        long,
        global = true,
        value_name = "DIR|URL",
        env = "MODELYARD_REGISTRY",
        hide_env_values = true
    )]
    registry: Option<String>,
    /// Where contents of a registry in PostgreSQL are: a folder that all machines see, s3://BUCKET/PREFIX,
    /// gs://BUCKET/PREFIX or az://CONTAINER/PREFIX
    #[arg(long, global = true, value_name = "PLACE", env = "MODELYARD_REGISTRY_CONTENTS")]
    registry_contents: Option<String>,
    /// Encrypt contents by this key; `modelyard keys new --encryption` makes one. Of several the first
    /// encrypts, all decrypt. The variable may hold keys in place of files, with commas between
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MODELYARD_REGISTRY_ENCRYPTION_KEY",
        hide_env_values = true,
        value_delimiter = ','
    )]
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
    fn place(&self, config: &Config) -> Result<Place, RegistryError> {
        let place = match &self.registry {
            Some(registry) => Place::parse(registry, self.registry_contents.as_deref())?,
            None => Place::folder(&folder(config)),
        };
        let keys: Result<Vec<_>, _> = self.encryption_key.iter().map(|text| key(text)).collect();
        Ok(place.with_environment(environment()).with_keys(keys?))
    }
}

/// What stores of objects take their credentials from.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

/// A key, or a file that holds one.
fn key(text: &str) -> Result<EncryptionKey, RegistryError> {
    let is_key = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
    if is_key { EncryptionKey::parse(text) } else { EncryptionKey::read(Path::new(text)) }
}

impl Desk {
    pub(super) fn new(
        (args, makes): (&PlaceArgs, bool),
        globals: &Globals,
        overrides: Overrides,
    ) -> anyhow::Result<Desk> {
        let config = Config::load(globals, overrides).exit_with(Exit::Usage)?;
        let place = args.place(&config).map_err(coded)?;
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
pub(super) fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
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

/// The registry's folder, unless one is given.
pub(super) fn folder(config: &Config) -> PathBuf {
    config.engine.data_dir.join("registry")
}

async fn open(place: &Place, makes: bool) -> anyhow::Result<Registry> {
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
