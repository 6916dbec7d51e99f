//! New versions.
//!
//! Contents are stored first, each in a place of its own; then one transaction makes version, references
//! and log visible together. What a process leaves behind that dies in between is no part of any version,
//! and [`Registry::collect`] or [`Registry::fsck`] removes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::database::blobs::Blob;
use crate::database::events::Actor;
use crate::database::publish::{Entry, Outcome};
use crate::database::versions::State;
use crate::error::io;
use crate::keys::Signer;
use crate::manifest::{self, About, File, SCHEMA};
use crate::registry::TRIES;
use crate::seal::Seal;
use crate::{AliasName, Digest, Manifest, ModelName, Registry, RegistryError};

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The model.
    pub model: ModelName,
    /// Files, and the names that they get in the version's folder; the first is the model.
    pub files: Vec<(String, PathBuf)>,
    /// What the version takes and gives, how, and where it comes from.
    pub about: About,
    /// What its author says of it.
    pub notes: String,
    /// Names that it is found by.
    pub tags: BTreeSet<String>,
    /// Aliases that point to it from the same moment on.
    pub aliases: Vec<AliasName>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Published {
    /// The model.
    pub model: ModelName,
    /// The version that has the files.
    pub version: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Whether it is new: the same files of the same model are the same version.
    pub is_new: bool,
}

impl Registry {
    /// Publishes a version, signed where there is a key. Files that the model has in a version already
    /// are that version: nothing but aliases changes then.
    pub async fn publish(
        &self,
        publication: &Publication,
        signer: Option<&Signer>,
        actor: &Actor,
    ) -> Result<Published, RegistryError> {
        self.refuse_to_store_openly().await?;
        let mut tries = 1;
        loop {
            match self.try_to_publish(publication, signer, actor).await {
                Err(error) if tries < TRIES && error.is_collision() => tries += 1,
                other => return other,
            }
        }
    }

    /// Where contents are encrypted, none is stored as it is only because somebody forgot the key.
    async fn refuse_to_store_openly(&self) -> Result<(), RegistryError> {
        if self.storage.keys.first().is_some() {
            return Ok(());
        }
        match self.database.any_seal().await?.map(|seal| Seal::parse(&seal)).transpose()?.flatten()
        {
            None => Ok(()),
            Some(seal) => Err(RegistryError::Invalid(format!(
                "the registry's contents are encrypted by key {}, and none was given: name its file by \
                 --encryption-key",
                seal.key
            ))),
        }
    }

    async fn try_to_publish(
        &self,
        publication: &Publication,
        signer: Option<&Signer>,
        actor: &Actor,
    ) -> Result<Published, RegistryError> {
        let model = &publication.model;
        let files = described(&publication.files)?;
        let content = manifest::content(&files);
        if let Some(version) = self.database.with_content(model, &content).await? {
            return self.known(publication, version, (signer, actor)).await;
        }
        let fresh = self.stored(publication, &files, actor).await?;
        let places: Vec<String> = fresh.iter().map(|blob| blob.place.clone()).collect();
        let make = |version: u64| {
            let manifest = Manifest {
                schema: SCHEMA,
                model: model.clone(),
                version,
                created_us: actor.now_us,
                author: actor.name.clone(),
                notes: publication.notes.clone(),
                tags: publication.tags.clone(),
                files: files.clone(),
                about: publication.about.clone(),
            };
            let bytes = manifest.encode()?;
            let signatures = signer.map(|signer| signer.sign(&bytes)).into_iter().collect();
            Ok(Entry { manifest, bytes, signatures, state: State::Active })
        };
        let published =
            self.database.publish((model, &fresh), make, &publication.aliases, actor).await;
        let (version, spare) = match published {
            Ok(Outcome::Published(version, spare)) => (version, spare),
            // Somebody else published the same at the same moment, and was first.
            Ok(Outcome::Known(version)) => {
                self.forget(&places).await;
                return self.known(publication, version, (signer, actor)).await;
            }
            Err(error) => {
                // What was stored is nobody's; but where the database failed it may have done what it
                // was asked all the same, and only its answer was lost: `fsck` sees what is left over.
                if !matches!(error, RegistryError::Database { .. }) {
                    self.forget(&places).await;
                }
                return Err(error);
            }
        };
        // Somebody else stored the same at the same moment, and was first. That is published now, whether
        // or not what is left over can be removed.
        self.forget(&spare).await;
        let manifest = self.require(model, version).await?.digest;
        Ok(Published { model: model.clone(), version, manifest, is_new: true })
    }

    /// The version that has these files already; aliases point to it now, and it is signed.
    async fn known(
        &self,
        publication: &Publication,
        version: u64,
        (signer, actor): (Option<&Signer>, &Actor),
    ) -> Result<Published, RegistryError> {
        let model = &publication.model;
        if let Some(signer) = signer {
            let found = self.require(model, version).await?;
            let id = signer.verifier().id();
            if !found.signatures.iter().any(|signature| signature.key == id) {
                self.sign(&found, signer, actor).await?;
            }
        }
        for alias in &publication.aliases {
            self.set_alias(model, alias, version, actor).await?;
        }
        let manifest = self.require(model, version).await?.digest;
        Ok(Published { model: model.clone(), version, manifest, is_new: false })
    }

    /// Stores what is not there yet, and answers that. What is there is kept from being collected.
    async fn stored(
        &self,
        publication: &Publication,
        files: &[File],
        actor: &Actor,
    ) -> Result<Vec<Blob>, RegistryError> {
        let mut fresh: Vec<Blob> = Vec::new();
        for (file, (_, path)) in files.iter().zip(&publication.files) {
            let is_stored = fresh.iter().any(|blob| blob.sha256 == file.sha256);
            if is_stored || self.database.touch(&file.sha256, actor.now_us).await? {
                continue;
            }
            match self.storage.store(path, &file.sha256).await {
                Ok(blob) => fresh.push(blob),
                Err(error) => {
                    let places: Vec<String> = fresh.into_iter().map(|blob| blob.place).collect();
                    self.forget(&places).await;
                    return Err(error);
                }
            }
        }
        Ok(fresh)
    }

    /// Removes what nobody will refer to. An error here matters less than the one that led to it.
    async fn forget(&self, places: &[String]) {
        for place in places {
            let _ = self.storage.remove(place).await;
        }
    }
}

/// Sizes and digests of files.
fn described(files: &[(String, PathBuf)]) -> Result<Vec<File>, RegistryError> {
    let described = |(name, path): &(String, PathBuf)| {
        manifest::check_file_name(name).map_err(RegistryError::Invalid)?;
        let (sha256, bytes) = digest_of(path)?;
        Ok(File { name: name.clone(), bytes, sha256 })
    };
    files.iter().map(described).collect()
}

fn digest_of(path: &Path) -> Result<(Digest, u64), RegistryError> {
    let file = std::fs::File::open(path).map_err(io("read", path))?;
    Digest::copy(file, |_| Ok(())).map_err(io("read", path))
}
