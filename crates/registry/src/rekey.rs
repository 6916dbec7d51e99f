//! Another key for what is encrypted.

use crate::database::events::Actor;
use crate::keys::KeyId;
use crate::seal::Seal;
use crate::{Registry, RegistryError};

/// What a change of keys did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rekeyed {
    /// The key that encrypts now.
    pub key: KeyId,
    /// Contents that another key encrypted before.
    pub changed: usize,
    /// Contents that it encrypted already.
    pub unchanged: usize,
    /// Contents that are not encrypted: they were stored before there was a key.
    pub open: usize,
}

impl Registry {
    /// Encrypts all data keys by the first key that was given. Contents are not touched. Where a key of
    /// one of them was not given, nothing is changed.
    pub async fn rekey(&self, actor: &Actor) -> Result<Rekeyed, RegistryError> {
        let keys = &self.storage.keys;
        let Some(key) = keys.first() else {
            return Err(RegistryError::Invalid(
                "expected the new key first, then those that encrypt now, by --encryption-key"
                    .into(),
            ));
        };
        let mut done = Rekeyed { key: key.id(), changed: 0, unchanged: 0, open: 0 };
        let mut changes = Vec::new();
        for blob in self.database.blobs().await? {
            match Seal::parse(&blob.seal)? {
                None => done.open += 1,
                Some(seal) if seal.key == done.key => done.unchanged += 1,
                Some(seal) => {
                    let data_key = keys.open(&seal, &blob.sha256)?;
                    let stored = (seal.sha256, seal.bytes);
                    let seal = key.wrap((&data_key, &blob.sha256), stored)?.encode()?;
                    changes.push((blob, seal));
                }
            }
        }
        done.changed = changes.len();
        if !changes.is_empty() {
            let now = format!("{} contents, key {}", changes.len(), done.key);
            self.database.replace_seals(&changes, (actor, &now)).await?;
        }
        Ok(done)
    }
}
