//! Contents in a folder: whole or not at all.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::io;
use crate::{Digest, RegistryError};

/// Contents in a folder: `blobs/ab/abcd….<suffix>`, and `tmp` for those that are being written.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    blobs: PathBuf,
    tmp: PathBuf,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its place; for a temporary file its path.
    pub(crate) place: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// How long ago it was written; nothing where the clock jumped back.
    pub(crate) age: Duration,
}

impl Folder {
    /// The folders below a registry's root, made where they are not there.
    pub(crate) fn open(root: &Path) -> Result<Folder, RegistryError> {
        let folder = Folder { blobs: root.join("blobs"), tmp: root.join("tmp") };
        for path in [&folder.blobs, &folder.tmp] {
            fs::create_dir_all(path).map_err(io("make folder", path))?;
        }
        Ok(folder)
    }

    /// Where a content lies.
    pub(crate) fn path(&self, place: &str) -> Result<PathBuf, RegistryError> {
        // Places come from the database: none may lead out of the folder.
        let is_plain = |c: char| c.is_ascii_hexdigit() || c == '.';
        match place.len() > 2 && place.chars().all(is_plain) && !place.starts_with('.') {
            true => Ok(self.blobs.join(&place[..2]).join(place)),
            false => Err(RegistryError::Untrusted(format!(
                "the registry's database is damaged: a content lies in '{}'",
                place.escape_debug()
            ))),
        }
    }

    /// Stores a file in a place of its own. Its content must be what it was said to be. What is there
    /// after that is on disk.
    pub(crate) fn store(
        &self,
        from: &Path,
        (sha256, suffix): (&Digest, u64),
    ) -> Result<(String, u64), RegistryError> {
        let place = format!("{sha256}.{suffix:016x}");
        let target = self.path(&place)?;
        let read = File::open(from).map_err(io("read", from))?;
        let mut written =
            tempfile::NamedTempFile::new_in(&self.tmp).map_err(io("make a file in", &self.tmp))?;
        let copied = Digest::copy(BufReader::new(read), |piece| written.write_all(piece));
        let (found, bytes) = copied.map_err(io("copy", from))?;
        if found != *sha256 {
            return Err(RegistryError::Conflict(format!(
                "'{}' changed while it was read: its content was {}, now is {}",
                from.display(),
                sha256.short(),
                found.short()
            )));
        }
        written.as_file().sync_all().map_err(io("write", written.path()))?;
        let parent = target.parent().unwrap_or(&self.blobs);
        fs::create_dir_all(parent).map_err(io("make folder", parent))?;
        written.persist_noclobber(&target).map_err(|error| io("write", &target)(error.error))?;
        for folder in [parent, &self.blobs] {
            sync_folder(folder)?;
        }
        Ok((place, bytes))
    }

    /// Copies a content out, and checks that it is what was stored.
    pub(crate) fn copy_out(
        &self,
        place: &str,
        (sha256, bytes): (&Digest, u64),
        to: &Path,
    ) -> Result<(), RegistryError> {
        let path = self.path(place)?;
        let read = File::open(&path).map_err(io("read content", &path))?;
        let mut written = File::create_new(to).map_err(io("write", to))?;
        let copied = Digest::copy(BufReader::new(read), |piece| written.write_all(piece));
        let (found, size) = copied.map_err(io("copy to", to))?;
        expect(&path, (sha256, bytes), (&found, size))?;
        written.sync_all().map_err(io("write", to))
    }

    /// Checks that a content is what was stored.
    pub(crate) fn check(
        &self,
        place: &str,
        (sha256, bytes): (&Digest, u64),
    ) -> Result<(), RegistryError> {
        check_file(&self.path(place)?, (sha256, bytes))
    }

    /// Removes a content. One that is not there is removed.
    pub(crate) fn remove(&self, place: &str) -> Result<(), RegistryError> {
        remove_file(&self.path(place)?)
    }

    /// Everything that lies here: contents, and what was being written.
    pub(crate) fn list(&self) -> Result<[Vec<Found>; 2], RegistryError> {
        let mut contents = Vec::new();
        for entry in fs::read_dir(&self.blobs).map_err(io("read folder", &self.blobs))? {
            let path = entry.map_err(io("read folder", &self.blobs))?.path();
            if path.is_dir() {
                files(&path, &mut contents)?;
            }
        }
        let mut unfinished = Vec::new();
        files(&self.tmp, &mut unfinished)?;
        Ok([contents, unfinished])
    }
}

/// Checks that a file holds what it is said to.
pub(crate) fn check_file(
    path: &Path,
    (sha256, bytes): (&Digest, u64),
) -> Result<(), RegistryError> {
    let read = File::open(path).map_err(io("read content", path))?;
    let (found, size) = Digest::copy(read, |_| Ok(())).map_err(io("read", path))?;
    expect(path, (sha256, bytes), (&found, size))
}

/// Removes a file that may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<(), RegistryError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Puts on disk that a folder has the files it has.
pub(crate) fn sync_folder(path: &Path) -> Result<(), RegistryError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(io("write folder", path))
}

fn files(folder: &Path, found: &mut Vec<Found>) -> Result<(), RegistryError> {
    for entry in fs::read_dir(folder).map_err(io("read folder", folder))? {
        let path = entry.map_err(io("read folder", folder))?.path();
        // It may be renamed or removed meanwhile.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let age = metadata.modified().ok();
        let age = age.and_then(|at| SystemTime::now().duration_since(at).ok());
        found.push(Found {
            place: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: metadata.len(),
            age: age.unwrap_or_default(),
            path,
        });
    }
    Ok(())
}

fn expect(
    path: &Path,
    (sha256, bytes): (&Digest, u64),
    (found, size): (&Digest, u64),
) -> Result<(), RegistryError> {
    if (sha256, bytes) == (found, size) {
        return Ok(());
    }
    Err(RegistryError::Untrusted(format!(
        "content '{}' was tampered with or damaged: expected {bytes} bytes with digest {}, found {size} \
         with {}",
        path.display(),
        sha256.short(),
        found.short()
    )))
}
