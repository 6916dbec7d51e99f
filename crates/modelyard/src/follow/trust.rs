//! Whose signature a version needs before it is served.

use std::path::PathBuf;

use modelyard_registry::keys::{Verifier, verify};
use modelyard_registry::{RegistryError, Version};

/// Keys, one of which must have signed a version; none where signatures are not asked for.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Option<Vec<Verifier>>);

impl Trust {
    /// Reads public keys: files, or folders of them. Where none are named, everything is trusted.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Trust, RegistryError> {
        if paths.is_empty() {
            return Ok(Trust(None));
        }
        let keys = Verifier::read_all(paths)?;
        match keys.is_empty() {
            // Nothing could ever be served.
            true => Err(RegistryError::Invalid(format!(
                "there are no public keys in '{}', expected files that end in .pub",
                paths[0].display()
            ))),
            false => Ok(Trust(Some(keys))),
        }
    }

    /// Refuses a version that nobody trusted signed.
    pub(crate) fn check(&self, version: &Version) -> Result<(), RegistryError> {
        let Some(keys) = &self.0 else { return Ok(()) };
        verify(keys, &version.bytes, &version.signatures).map(drop)
    }
}
