//! New versions: all of one becomes visible at once, or nothing.

use std::collections::BTreeSet;

use super::aliases::{self, Expected};
use super::blobs::{self, Blob};
use super::events::{Action, Actor, Change, add};
use super::versions::{self, State, as_json};
use super::{Database, Writing, commit, count};
use crate::error::database;
use crate::keys::Signature;
use crate::{AliasName, Digest, Manifest, ModelName, RegistryError};

/// A manifest with what goes with it.
pub(crate) struct Entry {
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) state: State,
}

/// What became of a publication.
pub(crate) enum Outcome {
    /// It is this version; of what was stored for it, somebody else had stored these at the same moment.
    Published(u64, Vec<String>),
    /// This version has the same files.
    Known(u64),
}

impl Database {
    /// Publishes: all of it becomes visible at once, or nothing. `fresh` are contents that were stored for
    /// it; all others must be there still. `make` is given the number and writes the manifest.
    pub(crate) async fn publish(
        &self,
        (model, fresh): (&ModelName, &[Blob]),
        make: impl FnOnce(u64) -> Result<Entry, RegistryError>,
        aliases: &[AliasName],
        actor: &Actor,
    ) -> Result<Outcome, RegistryError> {
        let mut transaction = self.write().await?;
        let number = next_number(&mut transaction, model).await?;
        let entry = make(number)?;
        // Asked again now that nobody else publishes this model.
        let content = entry.manifest.content();
        if let Some(known) = versions::with_content(&mut *transaction, (model, &content)).await? {
            return Ok(Outcome::Known(known));
        }
        let mut spare = Vec::new();
        for blob in fresh {
            if !blobs::add(&mut transaction, blob, actor.now_us).await? {
                spare.push(blob.place.clone());
            }
        }
        insert(&mut transaction, &entry, actor.now_us).await?;
        let digest = Digest::of(&entry.bytes).to_string();
        let subject = number.to_string();
        let change = Change { model: model.as_str(), subject: &subject, was: "", now: &digest };
        add(&mut transaction, actor, (Action::Publish, change)).await?;
        for name in aliases {
            let how = (Expected::Anything, number);
            aliases::set(&mut transaction, (model, name), how, (actor, Action::Alias)).await?;
        }
        commit(transaction).await?;
        Ok(Outcome::Published(number, spare))
    }
}

/// Takes the next number. From now on nobody else publishes versions of this model until the transaction
/// ends.
async fn next_number(transaction: &mut Writing, model: &ModelName) -> Result<u64, RegistryError> {
    sqlx::query(
        "INSERT INTO models (name, next_version) VALUES ($1, 1) ON CONFLICT (name) DO NOTHING",
    )
    .bind(model.as_str())
    .execute(&mut **transaction)
    .await
    .map_err(database("write to"))?;
    let row = sqlx::query(
        "UPDATE models SET next_version = next_version + 1 WHERE name = $1 \
         RETURNING next_version - 1",
    )
    .bind(model.as_str())
    .fetch_one(&mut **transaction)
    .await
    .map_err(database("write to"))?;
    count(&row, 0)
}

/// Adds a version, and notes that its contents are used.
pub(super) async fn insert(
    transaction: &mut Writing,
    entry: &Entry,
    now_us: i64,
) -> Result<(), RegistryError> {
    let Entry { manifest, bytes, signatures, state } = entry;
    sqlx::query(
        "INSERT INTO versions (model, number, manifest, digest, content, signatures, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(manifest.model.as_str())
    .bind(manifest.version.cast_signed())
    .bind(bytes.as_slice())
    .bind(Digest::of(bytes).to_string())
    .bind(manifest.content().to_string())
    .bind(as_json(signatures)?)
    .bind(state.as_str())
    .execute(&mut **transaction)
    .await
    .map_err(database("write to"))?;
    if *state == State::Removed {
        return Ok(());
    }
    let contents: BTreeSet<Digest> = manifest.files.iter().map(|file| file.sha256).collect();
    for sha256 in contents {
        // From here on nobody collects it: who is about to waits, and then sees that it is used.
        if !blobs::touch(&mut **transaction, &sha256, now_us).await? {
            return Err(RegistryError::Conflict(format!(
                "content {} was removed while it was published; publish again",
                sha256.short()
            )));
        }
        sqlx::query("INSERT INTO version_blobs (model, number, sha256) VALUES ($1, $2, $3)")
            .bind(manifest.model.as_str())
            .bind(manifest.version.cast_signed())
            .bind(sha256.to_string())
            .execute(&mut **transaction)
            .await
            .map_err(database("write to"))?;
    }
    Ok(())
}
