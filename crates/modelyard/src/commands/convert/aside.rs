//! Where a result waits until it is proved.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A folder beside the target, in which the model waits until it is proved. Removed when dropped.
pub(in crate::commands) struct Aside {
    folder: tempfile::TempDir,
    /// Where the result waits.
    pub(in crate::commands) path: PathBuf,
}

impl Aside {
    /// A folder for what will be at `target`.
    pub(in crate::commands) fn new(target: &Path) -> anyhow::Result<Aside> {
        let name = target.file_name();
        let name = name.with_context(|| format!("'{}' is no file", target.display()))?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = tempfile::Builder::new()
            .prefix(".modelyard-convert-")
            .tempdir_in(parent)
            .with_context(|| format!("failed to write into '{}'", parent.display()))?;
        let path = folder.path().join(name);
        Ok(Aside { folder, path })
    }

    /// Moves everything to where it belongs: external data first, so that the model is never
    /// without.
    pub(in crate::commands) fn publish(self, target: &Path) -> anyhow::Result<()> {
        let failed = || format!("failed to write '{}'", target.display());
        for entry in self.folder.path().read_dir().with_context(failed)? {
            let from = entry.with_context(failed)?.path();
            if from != self.path
                && let Some(name) = from.file_name()
            {
                std::fs::rename(&from, target.with_file_name(name)).with_context(failed)?;
            }
        }
        std::fs::rename(&self.path, target).with_context(failed)
    }
}
