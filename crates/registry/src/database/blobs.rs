//! Where contents lie.
//!
//! A content is known by its digest, and lies in a place with a name of its own for each time that it was
//! stored. So what is being removed and what is being stored again at the same moment never are the same
//! file.

use super::events::{self, Action, Actor, Change};
use super::{Database, Row, Writing, commit, count, text};
use crate::error::database;
use crate::{Digest, RegistryError};

/// Where a content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) sha256: Digest,
    /// Its size, as it was given.
    pub(crate) bytes: u64,
    /// The name of its file.
    pub(crate) place: String,
    /// How it is encrypted; empty where it is not.
    pub(crate) seal: String,
}

pub(super) fn blob(row: &Row) -> Result<Blob, RegistryError> {
    Ok(Blob {
        sha256: text(row, 0)?.parse()?,
        bytes: count(row, 1)?,
        place: text(row, 2)?,
        seal: text(row, 3)?,
    })
}

impl Database {
    /// Whether a content is there. It stays from now on, for as long as unused contents do.
    pub(crate) async fn touch(&self, sha256: &Digest, now_us: i64) -> Result<bool, RegistryError> {
        touch(self.pool(), sha256, now_us).await
    }

    /// Where a content lies.
    pub(crate) async fn blob(&self, sha256: &Digest) -> Result<Blob, RegistryError> {
        let row = sqlx::query("SELECT sha256, bytes, place, seal FROM blobs WHERE sha256 = $1")
            .bind(sha256.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(database("read"))?;
        let row = row.ok_or_else(|| {
            RegistryError::NotFound(format!("content {} is not in the registry", sha256.short()))
        })?;
        blob(&row)
    }

    /// All contents.
    pub(crate) async fn blobs(&self) -> Result<Vec<Blob>, RegistryError> {
        let rows = sqlx::query("SELECT sha256, bytes, place, seal FROM blobs ORDER BY sha256");
        let rows = rows.fetch_all(self.pool()).await.map_err(database("read"))?;
        rows.iter().map(blob).collect()
    }

    /// A seal, if any content has one.
    pub(crate) async fn any_seal(&self) -> Result<Option<String>, RegistryError> {
        let row = sqlx::query("SELECT seal FROM blobs WHERE seal <> '' LIMIT 1");
        let row = row.fetch_optional(self.pool()).await.map_err(database("read"))?;
        row.map(|row| text(&row, 0)).transpose()
    }

    /// Replaces seals by others: pairs of what a content has and what it gets. What was replaced by
    /// somebody else, or was removed, is left alone.
    pub(crate) async fn replace_seals(
        &self,
        changes: &[(Blob, String)],
        (actor, now): (&Actor, &str),
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        for (blob, seal) in changes {
            sqlx::query("UPDATE blobs SET seal = $1 WHERE sha256 = $2 AND seal = $3")
                .bind(seal.as_str())
                .bind(blob.sha256.to_string())
                .bind(blob.seal.as_str())
                .execute(&mut *transaction)
                .await
                .map_err(database("write to"))?;
        }
        let change = Change { now, ..Change::default() };
        events::add(&mut transaction, actor, (Action::Rekey, change)).await?;
        commit(transaction).await
    }

    /// Forgets contents that no version refers to and nobody touched since; says where they lay.
    pub(crate) async fn forget_unused(
        &self,
        untouched_since_us: i64,
        actor: &Actor,
    ) -> Result<Vec<Blob>, RegistryError> {
        let mut transaction = self.write().await?;
        let rows = sqlx::query(
            "DELETE FROM blobs WHERE touched_us < $1 AND NOT EXISTS \
             (SELECT 1 FROM version_blobs WHERE version_blobs.sha256 = blobs.sha256) \
             RETURNING sha256, bytes, place, seal",
        )
        .bind(untouched_since_us)
        .fetch_all(&mut *transaction)
        .await
        .map_err(database("write to"))?;
        let forgotten = rows.iter().map(blob).collect::<Result<Vec<_>, _>>()?;
        if !forgotten.is_empty() {
            let bytes: u64 = forgotten.iter().map(|blob| blob.bytes).sum();
            let now = format!("{} contents, {bytes} bytes", forgotten.len());
            let change = Change { now: &now, ..Change::default() };
            events::add(&mut transaction, actor, (Action::Collect, change)).await?;
        }
        commit(transaction).await?;
        Ok(forgotten)
    }

    /// The versions that refer to a content.
    pub(crate) async fn users(&self, sha256: &Digest) -> Result<Vec<(String, u64)>, RegistryError> {
        let rows = sqlx::query(
            "SELECT model, number FROM version_blobs WHERE sha256 = $1 ORDER BY model, number",
        )
        .bind(sha256.to_string())
        .fetch_all(self.pool())
        .await
        .map_err(database("read"))?;
        rows.iter().map(|row| Ok((text(row, 0)?, count(row, 1)?))).collect()
    }
}

/// Notes where a content lies, unless it lies somewhere already. Says whether it was noted.
pub(super) async fn add(
    transaction: &mut Writing,
    blob: &Blob,
    now_us: i64,
) -> Result<bool, RegistryError> {
    let bytes = i64::try_from(blob.bytes)
        .map_err(|_| RegistryError::Invalid(format!("a content has {} bytes", blob.bytes)))?;
    let added = sqlx::query(
        "INSERT INTO blobs (sha256, bytes, place, seal, touched_us) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (sha256) DO NOTHING",
    )
    .bind(blob.sha256.to_string())
    .bind(bytes)
    .bind(blob.place.as_str())
    .bind(blob.seal.as_str())
    .bind(now_us)
    .execute(&mut **transaction)
    .await
    .map_err(database("write to"))?;
    Ok(added.rows_affected() == 1)
}

/// Whether a content is there. It stays from now on, for as long as unused contents do.
pub(super) async fn touch<'c>(
    on: impl sqlx::Executor<'c, Database = sqlx::Any>,
    sha256: &Digest,
    now_us: i64,
) -> Result<bool, RegistryError> {
    // A clock that jumped back must not make it older.
    let touched = sqlx::query(
        "UPDATE blobs SET touched_us = CASE WHEN touched_us > $2 THEN touched_us ELSE $2 END \
         WHERE sha256 = $1",
    )
    .bind(sha256.to_string())
    .bind(now_us)
    .execute(on)
    .await
    .map_err(database("write to"))?;
    Ok(touched.rows_affected() > 0)
}
