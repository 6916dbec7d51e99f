//! Tables, and how they come to be.

use sqlx::Row as _;

use super::{Database, Kind, Url, Writing, commit, connect};
use crate::RegistryError;
use crate::error::database;

/// The schema that is written and the newest that is read.
const SCHEMA: i64 = 2;

/// Number of the lock under which PostgreSQL's tables are made: replicas may start at the same time.
const LOCK: i64 = 0x6d6f_6465_6c79;

/// Where PostgreSQL tells that something changed, and in which schema.
pub(crate) const CHANNEL: &str = "modelyard_registry";

/// Tables of schema 1. `BYTES` and `SERIAL` stand for types that differ.
const TABLES: &str = "
CREATE TABLE models (
    name TEXT PRIMARY KEY,
    next_version BIGINT NOT NULL
);
CREATE TABLE versions (
    model TEXT NOT NULL REFERENCES models (name),
    number BIGINT NOT NULL,
    manifest BYTES NOT NULL,
    digest TEXT NOT NULL,
    content TEXT NOT NULL,
    signatures TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (model, number)
);
CREATE INDEX versions_by_content ON versions (model, content);
CREATE TABLE blobs (
    sha256 TEXT PRIMARY KEY,
    bytes BIGINT NOT NULL,
    place TEXT NOT NULL UNIQUE,
    seal TEXT NOT NULL,
    touched_us BIGINT NOT NULL
);
CREATE TABLE version_blobs (
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    sha256 TEXT NOT NULL REFERENCES blobs (sha256),
    PRIMARY KEY (model, number, sha256),
    FOREIGN KEY (model, number) REFERENCES versions (model, number)
);
CREATE INDEX version_blobs_by_sha256 ON version_blobs (sha256);
CREATE TABLE aliases (
    model TEXT NOT NULL,
    name TEXT NOT NULL,
    number BIGINT,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (model, name),
    FOREIGN KEY (model, number) REFERENCES versions (model, number)
);
CREATE TABLE replicas (
    id TEXT NOT NULL,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (id, model, number)
);
CREATE TABLE events (
    id SERIAL,
    at_us BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    model TEXT NOT NULL,
    subject TEXT NOT NULL,
    was TEXT NOT NULL,
    now TEXT NOT NULL,
    why TEXT NOT NULL
);
CREATE INDEX events_by_model ON events (model, id);
";

/// What makes of each schema the next one: first, of 1 the 2.
const MIGRATIONS: [&str; SCHEMA as usize - 1] = ["
CREATE TABLE rollouts (
    model TEXT PRIMARY KEY REFERENCES models (name),
    id BIGINT NOT NULL,
    alias TEXT NOT NULL,
    stable BIGINT NOT NULL,
    candidate BIGINT NOT NULL,
    plan TEXT NOT NULL,
    sticky TEXT NOT NULL,
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    begun_us BIGINT NOT NULL,
    begun_by TEXT NOT NULL
);
CREATE TABLE rollout_figures (
    model TEXT NOT NULL,
    replica TEXT NOT NULL,
    stage TEXT NOT NULL,
    figures TEXT NOT NULL,
    PRIMARY KEY (model, replica)
);
"];

/// The log is only added to, whoever asks. PostgreSQL tells whoever listens that it was.
const APPEND_ONLY_SQLITE: &str = "
CREATE TRIGGER events_stay BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
";

const APPEND_ONLY_POSTGRES: &str = "
CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$;
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_stay();
CREATE FUNCTION events_wake() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('modelyard_registry', TG_TABLE_SCHEMA); RETURN NULL; END $$;
CREATE TRIGGER events_wake AFTER INSERT ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_wake();
";

/// Refuses a database without a registry.
pub(super) async fn require(url: &Url) -> Result<(), RegistryError> {
    use sqlx::Connection as _;
    let mut connection = connect(url.secret()).await?;
    let found = sqlx::query("SELECT coalesce(CAST(to_regclass('registry') AS TEXT), '')");
    let found = found.fetch_one(&mut connection).await.map_err(database("read"))?;
    let found: String = found.try_get(0).map_err(database("understand"))?;
    connection.close().await.map_err(database("read"))?;
    match found.is_empty() {
        true => Err(RegistryError::NotFound(format!("there is no registry in '{url}'"))),
        false => Ok(()),
    }
}

/// Refuses a database, or what stands between, that does not say how many rows it changed: aliases move by
/// that.
async fn probe(transaction: &mut Writing) -> Result<(), RegistryError> {
    let make = "CREATE TEMPORARY TABLE modelyard_probe (epoch BIGINT NOT NULL) ON COMMIT DROP";
    sqlx::raw_sql(make).execute(&mut **transaction).await.map_err(database("prepare"))?;
    let mut changed = Vec::new();
    for statement in [
        "INSERT INTO modelyard_probe (epoch) VALUES (1)",
        "UPDATE modelyard_probe SET epoch = 2 WHERE epoch = 1",
        "UPDATE modelyard_probe SET epoch = 2 WHERE epoch = 1",
    ] {
        let done = sqlx::query(statement).execute(&mut **transaction).await;
        changed.push(done.map_err(database("prepare"))?.rows_affected());
    }
    match changed[..] {
        [1, 1, 0] => Ok(()),
        _ => Err(RegistryError::Invalid(format!(
            "the database does not compare and swap: three statements changed {changed:?} rows, expected \
             [1, 1, 0]; use another, or no proxy that hides this"
        ))),
    }
}

/// Makes the tables where there are none; refuses those of a newer modelyard.
pub(super) async fn prepare(opened: &Database) -> Result<(), RegistryError> {
    let mut transaction = opened.write().await?;
    if opened.kind == Kind::Postgres {
        let locked = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
        locked.execute(&mut *transaction).await.map_err(database("lock"))?;
        probe(&mut transaction).await?;
    }
    let make = "CREATE TABLE IF NOT EXISTS registry (schema_version BIGINT NOT NULL)";
    sqlx::raw_sql(make).execute(&mut *transaction).await.map_err(database("prepare"))?;
    let found = sqlx::query("SELECT schema_version FROM registry");
    let found = found.fetch_optional(&mut *transaction).await.map_err(database("read"))?;
    let found = found.map(|row| row.try_get::<i64, _>(0)).transpose();
    let from = match found.map_err(database("understand"))? {
        None => {
            let (bytes, serial, append_only) = match opened.kind {
                Kind::Sqlite => ("BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT", APPEND_ONLY_SQLITE),
                Kind::Postgres => (
                    "BYTEA",
                    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                    APPEND_ONLY_POSTGRES,
                ),
            };
            let tables = TABLES.replace("BYTES", bytes).replace("SERIAL", serial);
            // Made of constants only.
            let statements = sqlx::AssertSqlSafe(tables + append_only);
            sqlx::raw_sql(statements)
                .execute(&mut *transaction)
                .await
                .map_err(database("prepare"))?;
            let noted = sqlx::query("INSERT INTO registry (schema_version) VALUES (1)");
            noted.execute(&mut *transaction).await.map_err(database("prepare"))?;
            1
        }
        Some(found) if found <= SCHEMA => found.max(1),
        Some(found) => {
            let what = "the registry's database".into();
            return Err(RegistryError::Newer { what, found, known: SCHEMA });
        }
    };
    match from == SCHEMA {
        true => Ok(()),
        false => {
            migrate(&mut transaction, from).await?;
            commit(transaction).await
        }
    }
}

/// Makes the newest schema of an older one.
async fn migrate(transaction: &mut Writing, from: i64) -> Result<(), RegistryError> {
    let done = usize::try_from(from - 1).unwrap_or_default();
    for step in &MIGRATIONS[done..] {
        let migrated = sqlx::raw_sql(*step).execute(&mut **transaction).await;
        migrated.map_err(database("bring up to date"))?;
    }
    let noted = sqlx::query("UPDATE registry SET schema_version = $1").bind(SCHEMA);
    noted.execute(&mut **transaction).await.map_err(database("bring up to date"))?;
    Ok(())
}
