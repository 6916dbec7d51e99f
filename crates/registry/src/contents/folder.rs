//! Files of a folder: written under another name, synced, renamed. (`object_store` has folders, too, but
//! does not sync them.)

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Take, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::faults::Step;
use super::{Found, Taken, UNFINISHED};
use crate::RegistryError;
use crate::error::io;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1 << 18;
/// How deep folders lie in each other.
const DEPTH_MAX: usize = 4;

/// A folder with files, and `tmp` for those that are being written.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    tmp: PathBuf,
}

/// A file that is being written.
pub(super) struct Writing {
    file: NamedTempFile,
    root: PathBuf,
    target: PathBuf,
    taken: Taken,
}

/// A file that is being read.
pub(super) struct Reading {
    file: Take<File>,
    path: PathBuf,
}

impl Folder {
    /// A folder, made where it is not there.
    pub(super) fn open(root: &Path) -> Result<Folder, RegistryError> {
        let folder = Folder { root: root.to_owned(), tmp: root.join(UNFINISHED) };
        fs::create_dir_all(&folder.tmp).map_err(io("make folder", &folder.tmp))?;
        Ok(folder)
    }

    /// Where a file lies whose name was checked.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn create(&self, name: &str, taken: Taken) -> Result<Writing, RegistryError> {
        let file = NamedTempFile::new_in(&self.tmp).map_err(io("make a file in", &self.tmp))?;
        Ok(Writing { file, root: self.root.clone(), target: self.path(name), taken })
    }

    pub(super) fn read(&self, name: &str) -> Result<Reading, RegistryError> {
        Reading::part(&self.path(name), (0, u64::MAX))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), RegistryError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn list(&self, below: &str) -> Result<Vec<Found>, RegistryError> {
        let mut found = Vec::new();
        walk(&self.path(below), (below, DEPTH_MAX), &mut found)?;
        Ok(found)
    }
}

fn walk(
    folder: &Path,
    (name, depth): (&str, usize),
    found: &mut Vec<Found>,
) -> Result<(), RegistryError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io("read folder", folder))?,
    };
    for entry in entries {
        let path = entry.map_err(io("read folder", folder))?.path();
        // It may be renamed or removed meanwhile.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}/{own}");
        if metadata.is_dir() {
            if depth > 0 {
                walk(&path, (&name, depth - 1), found)?;
            }
            continue;
        }
        let age = metadata.modified().ok();
        let age = age.and_then(|at| SystemTime::now().duration_since(at).ok());
        found.push(Found { name, bytes: metadata.len(), age: age.unwrap_or_default() });
    }
    Ok(())
}

impl Writing {
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        self.file.write_all(piece).map_err(io("write", self.file.path()))
    }

    /// `strike` is told of each step before it is done.
    pub(super) fn finish(
        self,
        strike: impl Fn(Step) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let Writing { file, root, target, taken } = self;
        strike(Step::Sync)?;
        file.as_file().sync_all().map_err(io("write", file.path()))?;
        let parent = target.parent().unwrap_or(&root);
        fs::create_dir_all(parent).map_err(io("make folder", parent))?;
        strike(Step::Rename)?;
        let renamed = match taken {
            Taken::Refuse => file.persist_noclobber(&target),
            Taken::Replace => file.persist(&target),
        };
        renamed.map_err(|error| io("write", &target)(error.error))?;
        strike(Step::Settle)?;
        // From the file's folder up to the root: each may be new.
        for folder in parent.ancestors().take_while(|folder| folder.starts_with(&root)) {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

impl Reading {
    pub(super) fn part(path: &Path, (from, bytes): (u64, u64)) -> Result<Reading, RegistryError> {
        let mut file = File::open(path).map_err(io("read content", path))?;
        file.seek(SeekFrom::Start(from)).map_err(io("read content", path))?;
        Ok(Reading { file: file.take(bytes), path: path.to_owned() })
    }

    pub(super) fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.file.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    piece.truncate(count);
                    return Ok(Some(piece.into()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io("read", &self.path)(error)),
            }
        }
    }
}

/// Puts on disk that a folder has the files it has.
pub(crate) fn sync_folder(path: &Path) -> Result<(), RegistryError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(io("write folder", path))
}
