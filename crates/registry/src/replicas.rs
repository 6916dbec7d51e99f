//! Who serves what: servers say so themselves, again and again, so that no version is removed that
//! somebody serves. One that has not been heard of for a while serves nothing any more.

use std::time::Duration;

use serde::Serialize;

use crate::{ModelName, Registry, RegistryError};

/// How long a report counts.
pub const LEASE: Duration = Duration::from_secs(60);

/// A server, and a version that it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// What the server calls itself.
    pub id: String,
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: u64,
}

impl Registry {
    /// Says what a server serves from now on, in place of what it said before. To be said again well
    /// within [`LEASE`].
    pub async fn report(
        &self,
        replica: &str,
        serving: &[(ModelName, u64)],
    ) -> Result<(), RegistryError> {
        self.database.report(replica, serving).await
    }

    /// The servers that serve any model, or this one.
    pub async fn replicas(&self, model: Option<&ModelName>) -> Result<Vec<Replica>, RegistryError> {
        self.database.replicas(model).await
    }

    /// A number that grows with every change: as long as it is the same, hardly anything can have
    /// changed. On PostgreSQL two changes at the same moment may show as one, so whoever follows a
    /// registry by it looks at everything now and then.
    pub async fn position(&self) -> Result<i64, RegistryError> {
        self.database.position().await
    }
}
