//! Whether a model is still what it was: by the size, time and inode of every file it is made of.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modelyard_registry::Digest;

use super::{ModelSource, VersionSource};

/// Most files that are looked at below one version's folder, and how deep.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 4;

/// What one version of a model is made of. Another file in the place of one shows, and so does a
/// file that grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    files: BTreeMap<PathBuf, Stamp>,
    /// A configuration that came with the request to load.
    config: Option<String>,
    /// The manifest of a version of the registry, wherever its files lie now.
    manifest: Option<Digest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
    device: u64,
}

impl ModelSource {
    /// What each version is made of now, by number.
    pub(crate) fn identities(&self) -> BTreeMap<u64, Identity> {
        let mut beside = Identity::default();
        for path in self.files_beside() {
            beside.add(&path);
        }
        beside.config = self.given.as_ref().and_then(|given| given.config.clone());
        let versions = self.versions.iter();
        versions.map(|version| (version.number, beside.clone().with(version))).collect()
    }

    /// What holds for all versions: settings and labels.
    fn files_beside(&self) -> Vec<PathBuf> {
        let mut names: Vec<&Path> =
            ["model.toml", "config.pbtxt", "labels.txt"].map(Path::new).into();
        names.extend(self.settings.label_filename.as_deref());
        let outputs = self.triton.outputs.iter();
        names.extend(outputs.filter_map(|output| output.label_filename.as_deref().map(Path::new)));
        let mut paths: Vec<PathBuf> = names.iter().map(|name| self.folder.join(name)).collect();
        paths.extend(self.settings_file.clone());
        paths
    }
}

/// What a version is made of now, but for what lies beside it.
pub(super) fn of_version(version: &VersionSource) -> Identity {
    Identity::default().with(version)
}

impl Identity {
    /// The size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|stamp| stamp.bytes).sum()
    }

    fn with(mut self, version: &VersionSource) -> Identity {
        if let Some(registered) = &version.registered {
            return Identity { manifest: Some(registered.digest), ..Identity::default() };
        }
        match (&version.folder, &version.file) {
            (Some(folder), _) => self.add_below(folder, MAX_DEPTH),
            (None, Ok(file)) => self.add_named_after(file),
            (None, Err(_)) => {}
        }
        self
    }

    fn add(&mut self, path: &Path) {
        // What a link points to counts, not the link.
        if let Ok(metadata) = fs::metadata(path)
            && self.files.len() < MAX_FILES
        {
            let stamp = Stamp {
                bytes: metadata.len(),
                modified: metadata.modified().ok(),
                inode: metadata.ino(),
                device: metadata.dev(),
            };
            self.files.insert(path.to_owned(), stamp);
        }
    }

    fn add_below(&mut self, folder: &Path, depth: usize) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if depth > 0 => self.add_below(&path, depth - 1),
                true => {}
                false => self.add(&path),
            }
        }
    }

    /// `net.onnx` and what lies beside it as `net.onnx.data` or the like.
    fn add_named_after(&mut self, file: &Path) {
        let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let name = name.to_string_lossy();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&*name) {
                self.add(&entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Globals;
    use crate::config::{Config, Overrides};
    use crate::source;

    #[test]
    fn any_file_that_changes_shows() {
        let folder = tempfile::TempDir::new().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("m/1/model.onnx", "graph");
        put("m/1/weights/w.bin", "weights");
        put("m/2/model.onnx", "graph");
        put("m/model.toml", "version_policy = 'all'\nlabel_filename = 'names'");
        put("m/names", "cat");
        let config = Config::load(&Globals::default(), Overrides::default()).unwrap();
        let identities =
            || source::one(None, &folder.path().join("m"), &config).unwrap().identities();
        let before = identities();
        assert_eq!(before, identities());
        put("m/readme", "about");
        assert_eq!(before, identities(), "a file that is nobody's");
        put("m/1/weights/w.bin", "more weights");
        let after = identities();
        assert_ne!(before[&1], after[&1]);
        assert_eq!(before[&2], after[&2]);
        put("m/names", "a cat");
        assert_ne!(after[&2], identities()[&2]);
        // The same bytes in a new file: somebody put it there.
        let before = identities();
        put("new", "graph");
        fs::rename(folder.path().join("new"), folder.path().join("m/2/model.onnx")).unwrap();
        assert_ne!(before[&2], identities()[&2]);
    }
}
