//! A version of a registry as files, for commands that run models.

use std::path::PathBuf;

use anyhow::Context;
use modelyard_registry::Reference;
use tempfile::TempDir;

use super::place::{block_on, coded, open};
use crate::cli::Globals;
use crate::config::keys::REGISTRY;
use crate::config::{Config, Overrides};
use crate::exit::{Exit, ExitWith};

/// Writes the files of a version into a folder that goes when it is dropped; the model is the file.
pub(crate) fn materialize(
    reference: &str,
    registry: Option<&String>,
    globals: &Globals,
) -> anyhow::Result<(TempDir, PathBuf)> {
    let overrides = Overrides::default().flag("registry", REGISTRY.name, registry);
    let config = Config::load(globals, overrides).exit_with(Exit::Usage)?;
    let place = config.registry.place().map_err(coded)?;
    let reference: Reference = reference.parse().map_err(coded)?;
    let folder = TempDir::new().context("failed to make a folder for the version")?;
    let file = block_on(async {
        let registry = open(&place, false).await?;
        let fetched = async {
            let version = registry.find(&reference).await.map_err(coded)?;
            let to = folder.path().join("version");
            registry.fetch(&version, &to).await.map_err(coded)?;
            let file = version.manifest.files.first().context("a version has a file")?;
            anyhow::Ok(to.join(&file.name))
        };
        let fetched = fetched.await;
        registry.close().await;
        fetched
    })?;
    Ok((folder, file))
}
