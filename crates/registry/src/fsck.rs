//! Finds what should not be there and what should be; removes the former.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::database::blobs::Blob;
use crate::database::events::Actor;
use crate::database::versions::{State, Version};
use crate::keys::KeyId;
use crate::storage::{BLOBS, Checked, name};
use crate::{Digest, ModelName, Registry, RegistryError};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fsck {
    /// Models that were looked at.
    pub models: usize,
    /// Versions that were looked at.
    pub versions: usize,
    /// Contents that were looked at.
    pub contents: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Contents whose key was not given, by key: what lies there was checked, not what it is of.
    pub sealed: BTreeMap<KeyId, usize>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Of which kind.
    pub kind: FaultKind,
    /// What it is about.
    pub subject: String,
    /// What is wrong with it.
    pub text: String,
    /// Whether it was mended.
    pub mended: bool,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Left behind by a process that died: costs space, harms nothing.
    Leftover,
    /// A version cannot be used: something of it is missing or was changed.
    Damage,
}

impl Fsck {
    /// Whether all versions can be used.
    pub fn is_sound(&self) -> bool {
        !self.faults.iter().any(|fault| fault.kind == FaultKind::Damage)
    }
}

impl Registry {
    /// Checks everything: that each version is whole and is what was published, that nothing lies about.
    /// With `repair` leftovers older than `grace` are removed; younger ones may be of somebody who is
    /// publishing.
    pub async fn fsck(
        &self,
        (repair, grace): (bool, Duration),
        actor: &Actor,
    ) -> Result<Fsck, RegistryError> {
        let mut found = Fsck::default();
        let mut wanted: BTreeMap<Digest, (u64, Vec<String>)> = BTreeMap::new();
        for entry in self.database.models().await? {
            found.models += 1;
            self.check_model(&entry.name, &mut found, &mut wanted).await?;
        }
        let blobs = self.database.blobs().await?;
        self.check_contents(&blobs, &wanted, &mut found).await?;
        self.check_files((repair, grace), &mut found).await?;
        let mended = found.faults.iter().filter(|fault| fault.mended).count();
        if mended > 0 {
            self.database.note_repair(mended, actor).await?;
        }
        Ok(found)
    }

    /// Checks the manifests of a model and notes the contents that its versions have.
    async fn check_model(
        &self,
        model: &ModelName,
        found: &mut Fsck,
        wanted: &mut BTreeMap<Digest, (u64, Vec<String>)>,
    ) -> Result<(), RegistryError> {
        for number in self.database.numbers(model).await? {
            found.versions += 1;
            let subject = format!("{model}:{number}");
            let version = match self.database.version(model, number).await {
                Ok(Some(version)) => version,
                // Removed meanwhile.
                Ok(None) => continue,
                Err(error @ (RegistryError::Database { .. } | RegistryError::Newer { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    found.damage(&subject, error.to_string());
                    continue;
                }
            };
            if version.state != State::Removed {
                note_files(&version, &subject, wanted);
                self.check_references(&version, &subject, found).await?;
            }
        }
        for alias in self.database.aliases(model).await? {
            let version = self.database.version(model, alias.version).await;
            let is_there = matches!(version, Ok(Some(version)) if version.state != State::Removed);
            if !is_there {
                let subject = format!("{model}:{}", alias.name);
                found.damage(
                    &subject,
                    format!("points to version {}, which is not there", alias.version),
                );
            }
        }
        Ok(())
    }

    /// A content that is not noted as used could be collected.
    async fn check_references(
        &self,
        version: &Version,
        subject: &str,
        found: &mut Fsck,
    ) -> Result<(), RegistryError> {
        let manifest = &version.manifest;
        let own = (manifest.model.to_string(), manifest.version);
        let contents: BTreeSet<Digest> = manifest.files.iter().map(|file| file.sha256).collect();
        for sha256 in contents {
            if !self.database.users(&sha256).await?.contains(&own) {
                found.damage(subject, format!("its content {} is not noted", sha256.short()));
            }
        }
        Ok(())
    }

    /// Reads every content.
    async fn check_contents(
        &self,
        blobs: &[Blob],
        wanted: &BTreeMap<Digest, (u64, Vec<String>)>,
        found: &mut Fsck,
    ) -> Result<(), RegistryError> {
        for blob in blobs {
            found.contents += 1;
            found.bytes += blob.bytes;
            let users = wanted.get(&blob.sha256);
            let bytes = users.map_or(blob.bytes, |(bytes, _)| *bytes);
            match self.storage.check(blob, bytes).await {
                Ok(Checked::Whole) => {}
                Ok(Checked::Sealed(key)) => *found.sealed.entry(key).or_default() += 1,
                // Reading takes long: it may have been removed meanwhile.
                Err(_) if !self.is_still_there(blob).await? => {}
                Err(error) => {
                    let users = users.map(|(_, users)| users.join(", ")).unwrap_or_default();
                    let subject = if users.is_empty() { blob.sha256.short() } else { users };
                    found.damage(&subject, with_cause(&error));
                }
            }
        }
        let known: BTreeSet<&Digest> = blobs.iter().map(|blob| &blob.sha256).collect();
        for (sha256, (_, users)) in wanted.iter().filter(|(sha256, _)| !known.contains(sha256)) {
            if self.database.users(sha256).await?.is_empty() {
                continue;
            }
            found.damage(&users.join(", "), format!("content {} is missing", sha256.short()));
        }
        Ok(())
    }

    /// Whether a content still lies where it lay.
    async fn is_still_there(&self, blob: &Blob) -> Result<bool, RegistryError> {
        match self.database.blob(&blob.sha256).await {
            Ok(now) => Ok(now.place == blob.place),
            Err(RegistryError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks for files that nothing refers to.
    async fn check_files(
        &self,
        (repair, grace): (bool, Duration),
        found: &mut Fsck,
    ) -> Result<(), RegistryError> {
        let contents = &self.storage.contents;
        let files = contents.list(BLOBS).await?;
        // After the files: what was published while all was read is among them by now.
        let blobs = self.database.blobs().await?;
        let names: Result<BTreeSet<String>, _> =
            blobs.iter().map(|blob| name(&blob.place)).collect();
        let names = names?;
        let orphans = files.into_iter().filter(|file| !names.contains(&file.name));
        let orphans = orphans.map(|file| (file, "no version has it"));
        let unfinished = contents.unfinished().await?.into_iter();
        let unfinished = unfinished.map(|file| (file, "it was not written to its end"));
        for (file, text) in orphans.chain(unfinished).filter(|(file, _)| file.age >= grace) {
            if repair {
                contents.remove(&file.name).await?;
            }
            let text = format!("{text} ({} bytes)", file.bytes);
            let (kind, subject) = (FaultKind::Leftover, contents.show(&file.name));
            found.faults.push(Fault { kind, subject, text, mended: repair });
        }
        Ok(())
    }
}

impl Fsck {
    fn damage(&mut self, subject: &str, text: String) {
        let (kind, subject) = (FaultKind::Damage, subject.to_owned());
        self.faults.push(Fault { kind, subject, text, mended: false });
    }
}

fn note_files(version: &Version, subject: &str, wanted: &mut BTreeMap<Digest, (u64, Vec<String>)>) {
    for file in &version.manifest.files {
        let (_, users) = wanted.entry(file.sha256).or_insert((file.bytes, Vec::new()));
        users.push(subject.to_owned());
    }
}

fn with_cause(error: &RegistryError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
