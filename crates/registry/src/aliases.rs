//! Moving aliases, and moving them back.

use crate::database::aliases::{Alias, Expected};
use crate::database::events::{Action, Actor, Event};
use crate::{AliasName, ModelName, Registry, RegistryError};

/// Lines of the log that a rollback looks through.
const HISTORY_MOST: u32 = 10_000;

impl Registry {
    /// Points an alias to a version, whatever it pointed to.
    pub async fn set_alias(
        &self,
        model: &ModelName,
        name: &AliasName,
        version: u64,
        actor: &Actor,
    ) -> Result<Alias, RegistryError> {
        self.swap_alias((model, name), (Expected::Anything, version), actor).await
    }

    /// Points an alias to a version if it is as expected: of two who expect the same, one succeeds.
    pub async fn swap_alias(
        &self,
        alias: (&ModelName, &AliasName),
        change: (Expected, u64),
        actor: &Actor,
    ) -> Result<Alias, RegistryError> {
        self.database.set_alias(alias, change, (actor, Action::Alias)).await
    }

    /// Takes an alias away if it is as expected.
    pub async fn drop_alias(
        &self,
        alias: (&ModelName, &AliasName),
        expected: Expected,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        self.database.drop_alias(alias, expected, actor).await
    }

    /// Points an alias to what it pointed to before its last move; a second time, to what was before
    /// that. Moves that were rolled back do not count.
    pub async fn roll_back(
        &self,
        model: &ModelName,
        name: &AliasName,
        actor: &Actor,
    ) -> Result<Alias, RegistryError> {
        let Some(now) = self.database.alias(model, name).await? else {
            return Err(self.no_alias(model, name).await?);
        };
        let events = self.database.events(Some(model), HISTORY_MOST).await?;
        let before =
            before_last(events.iter().rev().filter(|event| event.subject == name.as_str()));
        let before = before.ok_or_else(|| {
            let version = now.version;
            RegistryError::NotFound(format!(
                "alias '{name}' of model '{model}' never pointed to anything but version {version}"
            ))
        })?;
        let change = (Expected::Epoch(now.epoch), before);
        self.database.set_alias((model, name), change, (actor, Action::Rollback)).await
    }
}

/// Where an alias was before its last move that was not rolled back, from its history.
fn before_last<'a>(history: impl Iterator<Item = &'a Event>) -> Option<u64> {
    let mut places: Vec<&str> = Vec::new();
    for event in history {
        match event.action.as_str() {
            "alias" => places.push(&event.now),
            "rollback" => drop(places.pop()),
            "unalias" => places.clear(),
            _ => {}
        }
    }
    places.pop()?;
    places.pop()?.parse().ok()
}
