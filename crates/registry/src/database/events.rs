//! Who did what, when and why. Only added to.

use serde::{Deserialize, Serialize};

use super::{Database, Row, Writing, commit, number, text};
use crate::error::database;
use crate::{ModelName, RegistryError};

/// Who does something, when and why.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who: `user@host`, or the name of a controller.
    pub name: String,
    /// When: microseconds since 1970, UTC, as the actor's clock has it.
    pub now_us: i64,
    /// Why; may be empty.
    pub why: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A version was published.
    Publish,
    /// An alias was set.
    Alias,
    /// An alias went back to where it was before.
    Rollback,
    /// An alias was taken away.
    Unalias,
    /// A version is not to be used any more.
    Deprecate,
    /// A version is to be used again.
    Restore,
    /// A version was removed.
    Remove,
    /// Contents that nothing refers to were removed.
    Collect,
    /// Leftovers and faults were mended.
    Repair,
    /// Signatures were added to a version.
    Sign,
    /// Another key encrypts the keys of contents.
    Rekey,
    /// The whole registry came from a backup.
    Recover,
    /// A rollout began, moved on or ended.
    Rollout,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Later lines have higher numbers.
    pub id: i64,
    /// When, by the actor's clock: microseconds since 1970, UTC.
    pub at_us: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// Of which model; empty where it is about the whole registry.
    pub model: String,
    /// Which version or alias.
    pub subject: String,
    /// What was there before.
    pub was: String,
    /// What is there now.
    pub now: String,
    /// Why.
    pub why: String,
}

/// What an action changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) model: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) was: &'a str,
    pub(crate) now: &'a str,
}

impl Action {
    /// How it stands in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Alias => "alias",
            Action::Rollback => "rollback",
            Action::Unalias => "unalias",
            Action::Deprecate => "deprecate",
            Action::Restore => "restore",
            Action::Remove => "remove",
            Action::Collect => "collect",
            Action::Repair => "repair",
            Action::Sign => "sign",
            Action::Rekey => "rekey",
            Action::Recover => "recover",
            Action::Rollout => "rollout",
        }
    }
}

/// Adds a line, in the transaction that does what it says.
pub(crate) async fn add(
    transaction: &mut Writing,
    actor: &Actor,
    (action, change): (Action, Change<'_>),
) -> Result<(), RegistryError> {
    let event = Event {
        id: 0,
        at_us: actor.now_us,
        actor: actor.name.clone(),
        action: action.as_str().to_owned(),
        model: change.model.to_owned(),
        subject: change.subject.to_owned(),
        was: change.was.to_owned(),
        now: change.now.to_owned(),
        why: actor.why.clone(),
    };
    insert(transaction, &event).await
}

/// Adds a line as it is, but for its number.
pub(super) async fn insert(transaction: &mut Writing, event: &Event) -> Result<(), RegistryError> {
    sqlx::query(
        "INSERT INTO events (at_us, actor, action, model, subject, was, now, why) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(event.at_us)
    .bind(event.actor.as_str())
    .bind(event.action.as_str())
    .bind(event.model.as_str())
    .bind(event.subject.as_str())
    .bind(event.was.as_str())
    .bind(event.now.as_str())
    .bind(event.why.as_str())
    .execute(&mut **transaction)
    .await
    .map_err(database("write to"))?;
    Ok(())
}

impl Database {
    /// Notes that faults were mended.
    pub(crate) async fn note_repair(
        &self,
        mended: usize,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        let now = format!("{mended} leftovers removed");
        let change = Change { now: &now, ..Change::default() };
        add(&mut transaction, actor, (Action::Repair, change)).await?;
        commit(transaction).await
    }

    /// The number of the newest line.
    pub(crate) async fn position(&self) -> Result<i64, RegistryError> {
        let row = sqlx::query("SELECT coalesce(max(id), 0) FROM events");
        let row = row.fetch_one(self.pool()).await.map_err(database("read"))?;
        number(&row, 0)
    }

    /// The newest lines, of one model or of all, newest first.
    pub(crate) async fn events(
        &self,
        model: Option<&ModelName>,
        most: u32,
    ) -> Result<Vec<Event>, RegistryError> {
        let rows = sqlx::query(
            "SELECT id, at_us, actor, action, model, subject, was, now, why FROM events \
             WHERE $1 = '' OR model = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(model.map_or("", ModelName::as_str))
        .bind(i64::from(most))
        .fetch_all(self.pool())
        .await
        .map_err(database("read"))?;
        rows.iter().map(event).collect()
    }
}

/// Reads a row of `id, at_us, actor, action, model, subject, was, now, why`.
pub(super) fn event(row: &Row) -> Result<Event, RegistryError> {
    Ok(Event {
        id: number(row, 0)?,
        at_us: number(row, 1)?,
        actor: text(row, 2)?,
        action: text(row, 3)?,
        model: text(row, 4)?,
        subject: text(row, 5)?,
        was: text(row, 6)?,
        now: text(row, 7)?,
        why: text(row, 8)?,
    })
}
