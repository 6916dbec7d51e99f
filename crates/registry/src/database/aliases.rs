//! Names that point to versions, and move by compare-and-swap.

use serde::Serialize;

use super::events::{Action, Actor, Change, add};
use super::{Database, Writing, commit, count, text};
use crate::error::database;
use crate::{AliasName, ModelName, RegistryError};

/// Where an alias points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alias {
    /// Its name.
    pub name: AliasName,
    /// The version.
    pub version: u64,
    /// Rises by one with every move: two states of the same epoch are the same state.
    pub epoch: u64,
}

/// What an alias must be for it to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Anything,
    /// Not there.
    Nothing,
    /// Pointing to this version.
    Version(u64),
    /// In this epoch.
    Epoch(u64),
}

/// An alias as it is stored: it keeps its epoch when it points nowhere, so that it never has the same
/// epoch twice.
struct Stored {
    version: Option<u64>,
    epoch: u64,
}

impl Database {
    /// All aliases of a model, by name.
    pub(crate) async fn aliases(&self, model: &ModelName) -> Result<Vec<Alias>, RegistryError> {
        let rows = sqlx::query(
            "SELECT name, number, epoch FROM aliases \
             WHERE model = $1 AND number IS NOT NULL ORDER BY name",
        )
        .bind(model.as_str())
        .fetch_all(self.pool())
        .await
        .map_err(database("read"))?;
        let alias = |row| {
            let (version, epoch) = (count(row, 1)?, count(row, 2)?);
            Ok(Alias { name: text(row, 0)?.parse()?, version, epoch })
        };
        rows.iter().map(alias).collect()
    }

    /// Where an alias points, if it is there.
    pub(crate) async fn alias(
        &self,
        model: &ModelName,
        name: &AliasName,
    ) -> Result<Option<Alias>, RegistryError> {
        Ok(self.aliases(model).await?.into_iter().find(|alias| alias.name == *name))
    }

    /// Points an alias to a version if it is as expected.
    pub(crate) async fn set_alias(
        &self,
        (model, name): (&ModelName, &AliasName),
        (expected, version): (Expected, u64),
        (actor, action): (&Actor, Action),
    ) -> Result<Alias, RegistryError> {
        let mut transaction = self.write().await?;
        require_version(&mut transaction, model, version).await?;
        let alias =
            set(&mut transaction, (model, name), (expected, version), (actor, action)).await?;
        commit(transaction).await?;
        Ok(alias)
    }

    /// Takes an alias away if it is as expected.
    pub(crate) async fn drop_alias(
        &self,
        (model, name): (&ModelName, &AliasName),
        expected: Expected,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        let found = stored(&mut transaction, model, name).await?;
        let Some(Stored { version: Some(version), epoch }) = found else {
            return Err(RegistryError::NotFound(format!("model '{model}' has no alias '{name}'")));
        };
        expected.check((model, name), found_of(Some(version), epoch))?;
        swap(&mut transaction, (model, name), epoch, None).await?;
        let was = version.to_string();
        let change = Change { model: model.as_str(), subject: name.as_str(), was: &was, now: "" };
        add(&mut transaction, actor, (Action::Unalias, change)).await?;
        commit(transaction).await
    }
}

/// Names that point to a version.
pub(super) async fn of_version(
    transaction: &mut Writing,
    model: &ModelName,
    version: u64,
) -> Result<Vec<String>, RegistryError> {
    let rows =
        sqlx::query("SELECT name FROM aliases WHERE model = $1 AND number = $2 ORDER BY name")
            .bind(model.as_str())
            .bind(version.cast_signed())
            .fetch_all(&mut **transaction)
            .await
            .map_err(database("read"))?;
    rows.iter().map(|row| text(row, 0)).collect()
}

/// Points an alias to a version that is known to be there, in a transaction that does more.
pub(super) async fn set(
    transaction: &mut Writing,
    (model, name): (&ModelName, &AliasName),
    (expected, version): (Expected, u64),
    (actor, action): (&Actor, Action),
) -> Result<Alias, RegistryError> {
    let found = stored(transaction, model, name).await?;
    let (was, epoch) = match &found {
        Some(Stored { version, epoch }) => (*version, *epoch),
        None => (None, 0),
    };
    expected.check((model, name), found_of(was, epoch))?;
    if was == Some(version) {
        return Ok(Alias { name: name.clone(), version, epoch });
    }
    match found {
        Some(_) => swap(transaction, (model, name), epoch, Some(version)).await?,
        None => {
            let made = sqlx::query(
                "INSERT INTO aliases (model, name, number, epoch) VALUES ($1, $2, $3, 1) \
                 ON CONFLICT (model, name) DO NOTHING",
            )
            .bind(model.as_str())
            .bind(name.as_str())
            .bind(version.cast_signed())
            .execute(&mut **transaction)
            .await
            .map_err(database("write to"))?;
            moved(made.rows_affected(), (model, name))?;
        }
    }
    let (was, now) = (was.map(|was| was.to_string()).unwrap_or_default(), version.to_string());
    let change = Change { model: model.as_str(), subject: name.as_str(), was: &was, now: &now };
    add(transaction, actor, (action, change)).await?;
    Ok(Alias { name: name.clone(), version, epoch: epoch + 1 })
}

/// The version that an alias points to.
pub(super) async fn pointed(
    transaction: &mut Writing,
    model: &ModelName,
    name: &AliasName,
) -> Result<Option<u64>, RegistryError> {
    Ok(stored(transaction, model, name).await?.and_then(|stored| stored.version))
}

async fn stored(
    transaction: &mut Writing,
    model: &ModelName,
    name: &AliasName,
) -> Result<Option<Stored>, RegistryError> {
    // A version of 0 stands for none: a missing number has no type of its own here.
    let row = sqlx::query(
        "SELECT coalesce(number, 0), epoch FROM aliases WHERE model = $1 AND name = $2",
    )
    .bind(model.as_str())
    .bind(name.as_str())
    .fetch_optional(&mut **transaction)
    .await
    .map_err(database("read"))?;
    let stored = |row| {
        let (version, epoch) = (count(&row, 0)?, count(&row, 1)?);
        Ok(Stored { version: Some(version).filter(|version| *version > 0), epoch })
    };
    row.map(stored).transpose()
}

/// The swap: nothing happens where somebody else was faster.
async fn swap(
    transaction: &mut Writing,
    (model, name): (&ModelName, &AliasName),
    epoch: u64,
    version: Option<u64>,
) -> Result<(), RegistryError> {
    let swapped = sqlx::query(
        "UPDATE aliases SET number = nullif($1, 0), epoch = epoch + 1 \
         WHERE model = $2 AND name = $3 AND epoch = $4",
    )
    .bind(version.unwrap_or(0).cast_signed())
    .bind(model.as_str())
    .bind(name.as_str())
    .bind(epoch.cast_signed())
    .execute(&mut **transaction)
    .await
    .map_err(database("write to"))?;
    moved(swapped.rows_affected(), (model, name))
}

fn moved(rows: u64, (model, name): (&ModelName, &AliasName)) -> Result<(), RegistryError> {
    match rows {
        1 => Ok(()),
        _ => Err(RegistryError::Conflict(format!(
            "alias '{name}' of model '{model}' was moved by somebody else at the same time"
        ))),
    }
}

/// Refuses a version that is not there or was removed. It is not removed until the transaction ends.
pub(super) async fn require_version(
    transaction: &mut Writing,
    model: &ModelName,
    version: u64,
) -> Result<(), RegistryError> {
    // On SQLite nobody else writes meanwhile.
    let locking = match transaction.backend_name() {
        "PostgreSQL" => "SELECT state FROM versions WHERE model = $1 AND number = $2 FOR UPDATE",
        _ => "SELECT state FROM versions WHERE model = $1 AND number = $2",
    };
    let row = sqlx::query(locking)
        .bind(model.as_str())
        .bind(version.cast_signed())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(database("read"))?;
    match row.map(|row| text(&row, 0)).transpose()?.as_deref() {
        None => Err(RegistryError::NotFound(format!("model '{model}' has no version {version}"))),
        Some("removed") => Err(RegistryError::NotFound(format!(
            "version {version} of model '{model}' was removed"
        ))),
        Some(_) => Ok(()),
    }
}

fn found_of(version: Option<u64>, epoch: u64) -> Option<(u64, u64)> {
    version.map(|version| (version, epoch))
}

impl Expected {
    fn check(
        self,
        (model, name): (&ModelName, &AliasName),
        found: Option<(u64, u64)>,
    ) -> Result<(), RegistryError> {
        let holds = match self {
            Expected::Anything => true,
            Expected::Nothing => found.is_none(),
            Expected::Version(wanted) => found.is_some_and(|(version, _)| version == wanted),
            Expected::Epoch(wanted) => found.is_some_and(|(_, epoch)| epoch == wanted),
        };
        if holds {
            return Ok(());
        }
        let wanted = match self {
            Expected::Anything | Expected::Nothing => "nowhere".to_owned(),
            Expected::Version(version) => format!("to version {version}"),
            Expected::Epoch(epoch) => format!("as in epoch {epoch}"),
        };
        let points = match found {
            Some((version, epoch)) => format!("to version {version} (epoch {epoch})"),
            None => "nowhere".to_owned(),
        };
        Err(RegistryError::Conflict(format!(
            "alias '{name}' of model '{model}' points {points}, expected it to point {wanted}; somebody \
             else moved it"
        )))
    }
}
