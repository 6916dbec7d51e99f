//! Keys that sign versions, and whom to trust.

use std::path::PathBuf;

use modelyard_registry::keys::{KeyId, Signer, Verifier, verify};
use modelyard_registry::{RegistryError, Version};
use serde_json::json;

use super::place::{OpenDesk, coded};

/// Whom to trust.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct TrustArgs {
    /// Refuse a version that none of these keys signed: a public key file, or a folder of them
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
}

/// Who signs.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct SignerArgs {
    /// Sign with this private key; `modelyard keys new` makes one
    #[arg(long, value_name = "FILE", env = "MODELYARD_SIGNING_KEY")]
    key: Option<PathBuf>,
}

/// Add a signature to a version
#[derive(clap::Args)]
pub(super) struct SignArgs {
    /// The version, as MODEL:VERSION
    #[arg(value_name = "REFERENCE")]
    version: String,
    /// The private key
    #[arg(long, value_name = "FILE", env = "MODELYARD_SIGNING_KEY")]
    key: PathBuf,
}

impl TrustArgs {
    /// Checks that somebody trusted signed a version; says who. Nothing where nobody was named.
    pub(super) fn check(&self, version: &Version) -> Result<Option<KeyId>, RegistryError> {
        if self.trust.is_empty() {
            return Ok(None);
        }
        let keys = Verifier::read_all(&self.trust)?;
        verify(&keys, &version.bytes, &version.signatures).map(Some)
    }
}

impl SignerArgs {
    /// The key, if one is given.
    pub(super) fn read(&self) -> Result<Option<Signer>, RegistryError> {
        self.key.as_deref().map(Signer::read).transpose()
    }
}

pub(super) async fn sign(args: &SignArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let signer = Signer::read(&args.key).map_err(coded)?;
    let version = desk.find(&args.version).await?;
    desk.registry.sign(&version, &signer, &desk.actor).await.map_err(coded)?;
    let (model, number) = (&version.manifest.model, version.manifest.version);
    let key = signer.verifier().id();
    let told = json!({"model": model, "version": number, "key": key});
    desk.tell(&told, || format!("signed {model}:{number} with key {key}"))
}
