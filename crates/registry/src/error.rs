//! What can go wrong with a registry.

use std::path::PathBuf;

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A name, a manifest or an option that cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else was faster, or the state forbids it.
    #[error("{0}")]
    Conflict(String),
    /// What is stored is not what was stored, or not from whom it should be.
    #[error("{0}")]
    Untrusted(String),
    /// A newer modelyard wrote it.
    #[error("{what} has schema {found}, this modelyard knows up to {known}: use a newer one")]
    Newer {
        /// What was read.
        what: String,
        /// Its schema.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A file or folder could not be used.
    #[error("failed to {action} '{}'", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A store of objects could not be used.
    #[error("failed to {action} '{place}'")]
    Store {
        /// What was tried.
        action: &'static str,
        /// On what: its URL.
        place: String,
        /// Why not.
        source: Box<object_store::Error>,
    },
    /// The database could not be used.
    #[error("failed to {action} the registry's database")]
    Database {
        /// What was tried, such as `read`.
        action: &'static str,
        /// Why not.
        source: sqlx::Error,
    },
}

/// Attaches a path to an I/O error.
pub(crate) fn io(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(std::io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Io { action, path, source }
}

/// Attaches what was tried to an error of the database.
pub(crate) fn database(action: &'static str) -> impl Fn(sqlx::Error) -> RegistryError {
    move |source| RegistryError::Database { action, source }
}
