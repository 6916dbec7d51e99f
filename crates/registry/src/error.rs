//! What can go wrong with a registry.

use std::error::Error;
use std::fmt;
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
        source: StoreFailure,
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

impl RegistryError {
    /// Whether somebody else was faster, so that another try may succeed.
    pub(crate) fn is_collision(&self) -> bool {
        let RegistryError::Database { source: sqlx::Error::Database(error), .. } = self else {
            return matches!(self, RegistryError::Conflict(_));
        };
        // PostgreSQL refuses to remove what others refer to since just now, and ends one of two who wait
        // for each other (40P01, deadlock_detected).
        error.is_foreign_key_violation() || error.code().as_deref() == Some("40P01")
    }
}

/// Why a store of objects could not be used, in one line: its own errors say everything again at each level.
#[derive(Debug)]
pub struct StoreFailure(Box<object_store::Error>);

/// Most characters of that line: stores answer with pages.
const FAILURE_CHARS_MAX: usize = 400;

impl StoreFailure {
    /// Whether the object is not there.
    pub fn is_missing(&self) -> bool {
        matches!(*self.0, object_store::Error::NotFound { .. })
    }
}

impl From<object_store::Error> for StoreFailure {
    fn from(error: object_store::Error) -> StoreFailure {
        StoreFailure(Box::new(error))
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outer = self.0.to_string();
        let text: Vec<&str> = outer.split_whitespace().collect();
        f.write_str(&text.join(" ").chars().take(FAILURE_CHARS_MAX).collect::<String>())?;
        // What happened at last, such as a connection that was refused, is not always said.
        let mut last: &dyn Error = &*self.0;
        while let Some(cause) = last.source() {
            last = cause;
        }
        let last = last.to_string();
        if outer.contains(&last) { Ok(()) } else { write!(f, ": {last}") }
    }
}

impl Error for StoreFailure {}

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
