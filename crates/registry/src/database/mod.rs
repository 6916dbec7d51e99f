//! The registry's database: who is called what, what points where, who did what.
//!
//! The same statements run on SQLite (the embedded default) and on PostgreSQL (shared by replicas): both
//! take `$1`, `ON CONFLICT` and `RETURNING`. What differs stands in `schema` and here.
//!
//! | module | holds |
//! |---|---|
//! | `schema` | tables, and how they come to be |
//! | `versions` | models and their versions |
//! | `publish` | new versions |
//! | `aliases` | names that move |
//! | `blobs` | where contents lie |
//! | `replicas` | who serves what |
//! | `rollouts` | candidates that take over, and what was seen of them |
//! | `events` | who did what |
//! | `snapshot` | all of it as lines, and back |

pub(crate) mod aliases;
pub(crate) mod blobs;
pub(crate) mod events;
pub(crate) mod publish;
mod replicas;
mod rollouts;
pub(crate) mod schema;
pub(crate) mod snapshot;
pub(crate) mod versions;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Row as _, Transaction};

use crate::RegistryError;
use crate::error::database;

/// How long a caller waits for a connection, and SQLite for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once.
const CONNECTIONS: u32 = 4;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A connected database with the tables of this schema.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: AnyPool,
    kind: Kind,
    url: Url,
}

/// The URL of a database. Its password is never shown.
#[derive(Clone)]
pub(crate) struct Url(Arc<str>);

/// A transaction that may write.
pub(crate) type Writing = Transaction<'static, Any>;

/// A row of an answer.
pub(crate) type Row = sqlx::any::AnyRow;

impl Database {
    /// The SQLite database in a file, which is made if it is not there.
    pub(crate) async fn sqlite(path: &Path) -> Result<Database, RegistryError> {
        let url = format!("sqlite://{}?mode=rwc", percent_encoded(path)?);
        Database::open(&url, Kind::Sqlite).await
    }

    /// The PostgreSQL database at a URL. Without `make` there must be a registry in it.
    pub(crate) async fn postgres(url: &Url, make: bool) -> Result<Database, RegistryError> {
        if !make {
            schema::require(url).await?;
        }
        Database::open(url.secret(), Kind::Postgres).await
    }

    async fn open(url: &str, kind: Kind) -> Result<Database, RegistryError> {
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move { set_up(connection, kind).await })
        });
        // A pool tries again until its patience ends, and then no longer knows why.
        let mut first = connect(url).await?;
        set_up(&mut first, kind).await.map_err(database("open"))?;
        first.close().await.map_err(database("open"))?;
        let pool = options.connect(url).await.map_err(database("open"))?;
        let opened = Database { pool, kind, url: Url::new(url) };
        schema::prepare(&opened).await?;
        Ok(opened)
    }

    /// Where it is told that something changed, if it is.
    pub(crate) fn url(&self) -> Option<Url> {
        (self.kind == Kind::Postgres).then(|| self.url.clone())
    }

    /// Begins a transaction that may write. On SQLite it is the only one: others wait.
    pub(crate) async fn write(&self) -> Result<Writing, RegistryError> {
        let begin = match self.kind {
            Kind::Sqlite => "BEGIN IMMEDIATE",
            Kind::Postgres => "BEGIN",
        };
        self.pool.begin_with(begin).await.map_err(database("write to"))
    }

    /// Begins a transaction that sees everything as it is now, whatever is written meanwhile.
    pub(crate) async fn snapshot(&self) -> Result<Writing, RegistryError> {
        let begin = match self.kind {
            Kind::Sqlite => "BEGIN",
            Kind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.pool.begin_with(begin).await.map_err(database("read"))
    }

    /// Where reading statements run.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Connects, or says in a bounded time why not.
async fn connect(url: &str) -> Result<AnyConnection, RegistryError> {
    install_default_drivers();
    let connected = tokio::time::timeout(PATIENCE, AnyConnection::connect(url)).await;
    connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(database("open"))
}

impl Url {
    pub(crate) fn new(url: &str) -> Url {
        Url(url.into())
    }

    /// All of it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    /// Without password and parameters, which may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("database", ""));
        // A password may hold anything, even what should be encoded.
        let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
        let host = host.split('?').next().unwrap_or_default();
        match user.split([':', '/', '?']).next() {
            Some("") | None => write!(f, "{scheme}://{host}"),
            Some(user) => write!(f, "{scheme}://{user}@{host}"),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

async fn set_up(connection: &mut AnyConnection, kind: Kind) -> Result<(), sqlx::Error> {
    let statements = match kind {
        // FULL: what was committed is on disk, whatever happens to the machine.
        Kind::Sqlite => {
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON"
        }
        // Whoever was cut off in the middle of a change holds nobody up for long.
        Kind::Postgres => {
            "SET client_min_messages = warning; SET idle_in_transaction_session_timeout = '5s'; \
             SET lock_timeout = '10s'; SET statement_timeout = '30s'"
        }
    };
    sqlx::raw_sql(statements).execute(connection).await?;
    Ok(())
}

/// Ends a transaction, for good.
pub(crate) async fn commit(transaction: Writing) -> Result<(), RegistryError> {
    transaction.commit().await.map_err(database("write to"))
}

/// A whole number of a row.
pub(crate) fn number(row: &Row, column: usize) -> Result<i64, RegistryError> {
    row.try_get(column).map_err(database("understand"))
}

/// A whole number of a row that is not negative.
pub(crate) fn count(row: &Row, column: usize) -> Result<u64, RegistryError> {
    let found = number(row, column)?;
    u64::try_from(found).map_err(|_| {
        RegistryError::Untrusted(format!(
            "the registry's database is damaged: expected a number from 0, found {found}"
        ))
    })
}

/// A text of a row.
pub(crate) fn text(row: &Row, column: usize) -> Result<String, RegistryError> {
    row.try_get(column).map_err(database("understand"))
}

/// A path as part of a URL.
fn percent_encoded(path: &Path) -> Result<String, RegistryError> {
    let text = path.to_str().ok_or_else(|| {
        let path = path.display();
        RegistryError::Invalid(format!("the registry's folder '{path}' is not UTF-8"))
    })?;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(encoded)
}
