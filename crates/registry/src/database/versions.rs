//! Models and their versions.

use serde::{Deserialize, Serialize};

use super::aliases;
use super::events::{Action, Actor, Change, add};
use super::rollouts;
use super::{Database, Row, Writing, commit, count, text};
use crate::error::database;
use crate::keys::Signature;
use crate::{Digest, Manifest, ModelName, RegistryError};

/// Whether a version is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Active,
    /// It can be, but should not: `latest` passes it over.
    Deprecated,
    /// It cannot be any more: only its manifest is left.
    Removed,
}

/// A version as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// What is known of it.
    pub manifest: Manifest,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Who vouches for it.
    pub signatures: Vec<Signature>,
    /// Whether it is to be used.
    pub state: State,
    /// The very bytes that were signed.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// A model in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    /// Its name.
    pub name: ModelName,
    /// Versions that were not removed.
    pub versions: u64,
    /// The highest version that is active, if any is.
    pub latest: Option<u64>,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Deprecated => "deprecated",
            State::Removed => "removed",
        }
    }

    fn parse(text: &str) -> Result<State, RegistryError> {
        match text {
            "active" => Ok(State::Active),
            "deprecated" => Ok(State::Deprecated),
            "removed" => Ok(State::Removed),
            other => Err(RegistryError::Untrusted(format!(
                "the registry's database is damaged: a version is '{other}'"
            ))),
        }
    }
}

/// Reads a row of `model, number, manifest, digest, signatures, state`, and checks that it is what was
/// stored.
pub(super) fn version(row: &Row) -> Result<Version, RegistryError> {
    use sqlx::Row as _;
    let (model, number, stated) = (text(row, 0)?, count(row, 1)?, text(row, 3)?);
    let bytes: Vec<u8> = row.try_get(2).map_err(database("understand"))?;
    let damaged = |what: String| {
        RegistryError::Untrusted(format!("version {number} of model '{model}' {what}"))
    };
    let digest = Digest::of(&bytes);
    if digest.to_string() != stated {
        return Err(damaged("was tampered with: its manifest is not what was published".into()));
    }
    let manifest = Manifest::decode(&bytes)?;
    if manifest.model.as_str() != model || manifest.version != number {
        let (other, its) = (&manifest.model, manifest.version);
        return Err(damaged(format!("has the manifest of version {its} of model '{other}'")));
    }
    let signatures = serde_json::from_str(&text(row, 4)?)
        .map_err(|error| damaged(format!("has damaged signatures: {error}")))?;
    Ok(Version { manifest, digest, signatures, state: State::parse(&text(row, 5)?)?, bytes })
}

impl Database {
    /// All models, by name.
    pub(crate) async fn models(&self) -> Result<Vec<ModelEntry>, RegistryError> {
        let rows = sqlx::query(
            "SELECT models.name, count(versions.number), \
             coalesce(max(CASE WHEN versions.state = 'active' THEN versions.number ELSE 0 END), 0) \
             FROM models LEFT JOIN versions \
             ON versions.model = models.name AND versions.state <> 'removed' \
             GROUP BY models.name ORDER BY models.name",
        )
        .fetch_all(self.pool())
        .await
        .map_err(database("read"))?;
        let entry = |row| {
            let latest = Some(count(row, 2)?).filter(|latest| *latest > 0);
            Ok(ModelEntry { name: text(row, 0)?.parse()?, versions: count(row, 1)?, latest })
        };
        rows.iter().map(entry).collect()
    }

    /// All versions of a model, ascending; those that were removed too.
    pub(crate) async fn versions(&self, model: &ModelName) -> Result<Vec<Version>, RegistryError> {
        let rows = sqlx::query(
            "SELECT model, number, manifest, digest, signatures, state FROM versions \
             WHERE model = $1 ORDER BY number",
        )
        .bind(model.as_str())
        .fetch_all(self.pool())
        .await
        .map_err(database("read"))?;
        rows.iter().map(version).collect()
    }

    /// One version; `None` where there is no such.
    pub(crate) async fn version(
        &self,
        model: &ModelName,
        number: u64,
    ) -> Result<Option<Version>, RegistryError> {
        let row = sqlx::query(
            "SELECT model, number, manifest, digest, signatures, state FROM versions \
             WHERE model = $1 AND number = $2",
        )
        .bind(model.as_str())
        .bind(number.cast_signed())
        .fetch_optional(self.pool())
        .await
        .map_err(database("read"))?;
        row.as_ref().map(version).transpose()
    }

    /// Numbers of all versions of a model, ascending.
    pub(crate) async fn numbers(&self, model: &ModelName) -> Result<Vec<u64>, RegistryError> {
        let rows = sqlx::query("SELECT number FROM versions WHERE model = $1 ORDER BY number")
            .bind(model.as_str())
            .fetch_all(self.pool())
            .await
            .map_err(database("read"))?;
        rows.iter().map(|row| count(row, 0)).collect()
    }

    /// The version that has this content, if one that was not removed does.
    pub(crate) async fn with_content(
        &self,
        model: &ModelName,
        content: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        with_content(self.pool(), (model, content)).await
    }

    /// Says whether a version is to be used.
    pub(crate) async fn set_state(
        &self,
        (model, number): (&ModelName, u64),
        state: State,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        aliases::require_version(&mut transaction, model, number).await?;
        if state == State::Removed {
            self.refuse_used(&mut transaction, (model, number)).await?;
            sqlx::query("DELETE FROM version_blobs WHERE model = $1 AND number = $2")
                .bind(model.as_str())
                .bind(number.cast_signed())
                .execute(&mut *transaction)
                .await
                .map_err(database("write to"))?;
        }
        sqlx::query("UPDATE versions SET state = $1 WHERE model = $2 AND number = $3")
            .bind(state.as_str())
            .bind(model.as_str())
            .bind(number.cast_signed())
            .execute(&mut *transaction)
            .await
            .map_err(database("write to"))?;
        let action = match state {
            State::Active => Action::Restore,
            State::Deprecated => Action::Deprecate,
            State::Removed => Action::Remove,
        };
        let subject = number.to_string();
        let change = Change { model: model.as_str(), subject: &subject, ..Change::default() };
        add(&mut transaction, actor, (action, change)).await?;
        commit(transaction).await
    }

    /// Refuses to remove what an alias points to or a replica serves.
    async fn refuse_used(
        &self,
        transaction: &mut Writing,
        (model, number): (&ModelName, u64),
    ) -> Result<(), RegistryError> {
        let aliases = aliases::of_version(transaction, model, number).await?;
        let replicas = self.serving(transaction, (model, number)).await?;
        let rollouts = rollouts::of_version(transaction, model, number).await?;
        let used = [
            ("alias", aliases, "points to it"),
            ("replica", replicas, "serves it"),
            ("the rollout of", rollouts, "is about it"),
        ];
        match used.iter().find(|(_, names, _)| !names.is_empty()) {
            None => Ok(()),
            Some((what, names, how)) => Err(RegistryError::Conflict(format!(
                "version {number} of model '{model}' cannot be removed: {what} '{}' {how}",
                names.join("', '")
            ))),
        }
    }

    /// Replaces the signatures of a version, if they are still those that were read.
    pub(crate) async fn set_signatures(
        &self,
        version: &Version,
        signatures: &[Signature],
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        let manifest = &version.manifest;
        let signed = sqlx::query(
            "UPDATE versions SET signatures = $1 \
             WHERE model = $2 AND number = $3 AND signatures = $4",
        )
        .bind(as_json(signatures)?)
        .bind(manifest.model.as_str())
        .bind(manifest.version.cast_signed())
        .bind(as_json(&version.signatures)?)
        .execute(&mut *transaction)
        .await
        .map_err(database("write to"))?;
        if signed.rows_affected() != 1 {
            return Err(RegistryError::Conflict(format!(
                "version {} of model '{}' was signed by somebody else at the same time; sign again",
                manifest.version, manifest.model
            )));
        }
        let list = |signatures: &[Signature]| {
            let keys: Vec<String> =
                signatures.iter().map(|signature| signature.key.to_string()).collect();
            keys.join(" ")
        };
        let (subject, was, now) =
            (manifest.version.to_string(), list(&version.signatures), list(signatures));
        let model = manifest.model.as_str();
        let change = Change { model, subject: &subject, was: &was, now: &now };
        add(&mut transaction, actor, (Action::Sign, change)).await?;
        commit(transaction).await
    }
}

/// The version that has this content, if one that was not removed does.
pub(super) async fn with_content<'c>(
    from: impl sqlx::Executor<'c, Database = sqlx::Any>,
    (model, content): (&ModelName, &Digest),
) -> Result<Option<u64>, RegistryError> {
    let row = sqlx::query(
        "SELECT number FROM versions WHERE model = $1 AND content = $2 AND state <> 'removed' \
         ORDER BY number LIMIT 1",
    )
    .bind(model.as_str())
    .bind(content.to_string())
    .fetch_optional(from)
    .await
    .map_err(database("read"))?;
    row.map(|row| count(&row, 0)).transpose()
}

/// Signatures as they are stored.
pub(super) fn as_json(signatures: &[Signature]) -> Result<String, RegistryError> {
    serde_json::to_string(signatures)
        .map_err(|error| RegistryError::Invalid(format!("failed to write signatures: {error}")))
}
