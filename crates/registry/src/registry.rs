//! The registry as a whole.

use std::path::Path;
use std::time::Duration;

use crate::contents::sync_folder;
use crate::database::Database;
use crate::database::aliases::Alias;
use crate::database::events::{Actor, Event};
use crate::database::versions::{ModelEntry, State, Version};
use crate::error::io;
use crate::keys::Signer;
use crate::manifest::File;
use crate::place::{DATABASE, Place};
use crate::storage::{Storage, check_file};
use crate::{AliasName, Manifest, ModelName, Reference, RegistryError, Selector};

/// Tries to publish, or to collect, when others do the opposite with the same contents at the same moment.
pub(crate) const TRIES: usize = 3;

/// A registry.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(crate) database: Database,
    pub(crate) storage: Storage,
}

/// What a collection of unused contents freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// Contents.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Registry {
    /// The registry in a folder, which is made if it is not there. For others there is [`Place`].
    pub async fn open(root: &Path) -> Result<Registry, RegistryError> {
        Place::folder(root).open(true).await
    }

    /// Whether a folder holds a registry.
    pub fn is_at(root: &Path) -> bool {
        root.join(DATABASE).is_file()
    }

    /// Closes it. Dropping it does so, too, but later.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// All models, by name.
    pub async fn models(&self) -> Result<Vec<ModelEntry>, RegistryError> {
        self.database.models().await
    }

    /// All versions of a model, ascending. An error where there is no such model.
    pub async fn versions(&self, model: &ModelName) -> Result<Vec<Version>, RegistryError> {
        let versions = self.database.versions(model).await?;
        match versions.is_empty() {
            true => Err(self.no_such(model).await),
            false => Ok(versions),
        }
    }

    /// The aliases of a model, by name.
    pub async fn aliases(&self, model: &ModelName) -> Result<Vec<Alias>, RegistryError> {
        self.database.aliases(model).await
    }

    /// The version that is meant.
    pub async fn find(&self, reference: &Reference) -> Result<Version, RegistryError> {
        let model = &reference.model;
        match &reference.selector {
            Selector::Number(number) => self.require(model, *number).await,
            Selector::Alias(name) => match self.database.alias(model, name).await? {
                Some(alias) => self.require(model, alias.version).await,
                None => Err(self.no_alias(model, name).await?),
            },
            Selector::Latest => {
                let versions = self.versions(model).await?;
                let latest = versions.into_iter().rev().find(|one| one.state == State::Active);
                latest.ok_or_else(|| {
                    RegistryError::NotFound(format!(
                        "model '{model}' has no version that is active"
                    ))
                })
            }
        }
    }

    /// A version by its number.
    pub(crate) async fn require(
        &self,
        model: &ModelName,
        number: u64,
    ) -> Result<Version, RegistryError> {
        match self.database.version(model, number).await? {
            Some(version) => Ok(version),
            None => {
                let versions = self.versions(model).await?;
                let numbers: Vec<String> =
                    versions.iter().map(|one| one.manifest.version.to_string()).collect();
                Err(RegistryError::NotFound(format!(
                    "model '{model}' has no version {number}, there are {}",
                    numbers.join(", ")
                )))
            }
        }
    }

    /// Puts the files of a version into a folder that is not there yet. All of them are checked; the
    /// folder appears whole or not at all.
    pub async fn fetch(&self, version: &Version, to: &Path) -> Result<(), RegistryError> {
        let manifest = &version.manifest;
        if version.state == State::Removed {
            let (number, model) = (manifest.version, &manifest.model);
            let text = format!("version {number} of model '{model}' was removed");
            return Err(RegistryError::NotFound(text));
        }
        if to.exists() {
            let text = format!("'{}' is there already", to.display());
            return Err(RegistryError::Conflict(text));
        }
        let parent = match to.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let aside = tempfile::Builder::new().prefix(".fetch-").tempdir_in(parent);
        let aside = aside.map_err(io("make a folder in", parent))?;
        for file in &manifest.files {
            let path = aside.path().join(&file.name);
            let folder = path.parent().unwrap_or(aside.path());
            std::fs::create_dir_all(folder).map_err(io("make folder", folder))?;
            let blob = self.database.blob(&file.sha256).await?;
            self.storage.copy_out(&blob, file.bytes, &path).await?;
        }
        let aside = aside.keep();
        open_to_all(&aside)?;
        let moved = std::fs::rename(&aside, to).map_err(io("rename a folder to", to));
        if moved.is_err() {
            // Best effort: the error that matters is the first one.
            let _ = std::fs::remove_dir_all(&aside);
        }
        moved.and_then(|()| sync_folder(parent))
    }

    /// Says whether a version is to be used. One that an alias points to cannot be removed.
    pub async fn set_state(
        &self,
        model: &ModelName,
        number: u64,
        state: State,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        self.require(model, number).await?;
        self.database.set_state((model, number), state, actor).await
    }

    /// Adds a signature to a version.
    pub async fn sign(
        &self,
        version: &Version,
        signer: &Signer,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        let own = signer.sign(&version.bytes);
        let mut signatures = version.signatures.clone();
        signatures.retain(|other| other.key != own.key);
        signatures.push(own);
        self.database.set_signatures(version, &signatures, actor).await
    }

    /// The newest lines of the log, of one model or of all, newest first.
    pub async fn events(
        &self,
        model: Option<&ModelName>,
        most: u32,
    ) -> Result<Vec<Event>, RegistryError> {
        self.database.events(model, most).await
    }

    /// Removes contents that no version refers to, and that nobody stored again for so long.
    pub async fn collect(
        &self,
        grace: Duration,
        actor: &Actor,
    ) -> Result<Collected, RegistryError> {
        let grace_us = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
        let since_us = actor.now_us.saturating_sub(grace_us);
        let mut tries = 1;
        let forgotten = loop {
            match self.database.forget_unused(since_us, actor).await {
                Err(error) if tries < TRIES && error.is_collision() => tries += 1,
                other => break other?,
            }
        };
        let mut collected = Collected::default();
        for blob in forgotten {
            self.storage.remove(&blob.place).await?;
            collected.contents += 1;
            collected.bytes += blob.bytes;
        }
        Ok(collected)
    }

    async fn no_such(&self, model: &ModelName) -> RegistryError {
        let names = match self.models().await {
            Ok(models) => models.into_iter().map(|entry| entry.name.to_string()).collect(),
            Err(_) => Vec::new(),
        };
        let known = match names.as_slice() {
            [] => "the registry is empty".to_owned(),
            names if names.len() <= 10 => format!("there are '{}'", names.join("', '")),
            names => format!("there are {} others", names.len()),
        };
        RegistryError::NotFound(format!("the registry has no model '{model}'; {known}"))
    }

    pub(crate) async fn no_alias(
        &self,
        model: &ModelName,
        name: &AliasName,
    ) -> Result<RegistryError, RegistryError> {
        // Says so where there is no such model.
        self.versions(model).await?;
        let known: Vec<String> =
            self.aliases(model).await?.iter().map(|alias| alias.name.to_string()).collect();
        let known = match known.as_slice() {
            [] => "it has none".to_owned(),
            known => format!("it has '{}'", known.join("', '")),
        };
        Ok(RegistryError::NotFound(format!("model '{model}' has no alias '{name}'; {known}")))
    }
}

impl Manifest {
    /// Checks that a folder that was fetched still holds the version's files. Reads all of them.
    pub fn check_folder(&self, folder: &Path) -> Result<(), RegistryError> {
        let check = |file: &File| check_file(&folder.join(&file.name), (file.sha256, file.bytes));
        self.files.iter().try_for_each(check)
    }
}

/// Temporary folders are their owner's alone; a fetched one is like any other.
#[cfg(unix)]
fn open_to_all(path: &Path) -> Result<(), RegistryError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(io("open folder", path))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> Result<(), RegistryError> {
    Ok(())
}
