//! The folder of a tape: names, the lock, what is old and must go.
//!
//! `tape-<microseconds since 1970>.parquet` is whole; `.tape-….parquet.tmp` is being written, or was
//! left by a process that died. `.tape.lock` is held by whoever writes. Those with a dot are passed
//! over by what reads a folder of Parquet files. Nothing else is touched.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::TapeError;

const WHOLE: (&str, &str) = ("tape-", ".parquet");
const PARTIAL: (&str, &str) = (".tape-", ".parquet.tmp");
const LOCK: &str = ".tape.lock";

/// A folder that this process alone writes to.
pub(crate) struct Folder {
    path: PathBuf,
    /// Whole files and their sizes, oldest first.
    files: VecDeque<(PathBuf, u64)>,
    total: u64,
    /// Held as long as this lives; the system lets go when the process dies.
    _lock: File,
}

impl Folder {
    /// Opens a folder, makes it where there is none, and removes what a process that died has left.
    pub(crate) fn open(path: &Path) -> Result<Folder, TapeError> {
        private_folder().create(path).map_err(TapeError::io("make the folder", path))?;
        let lock_path = path.join(LOCK);
        let lock = private_file().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(TapeError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TapeError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => {
                return Err(TapeError::Io { what: "lock", path: lock_path, source });
            }
        }
        for left in named(path, PARTIAL)? {
            fs::remove_file(&left).map_err(TapeError::io("remove", &left))?;
        }
        let mut files = VecDeque::new();
        for file in whole(path)? {
            let size = file.metadata().map_err(TapeError::io("look at", &file))?.len();
            files.push_back((file, size));
        }
        let total = files.iter().map(|(_, size)| size).sum();
        Ok(Folder { path: path.to_owned(), files, total, _lock: lock })
    }

    /// A new file, later in order than all others, under the name it has until it is whole.
    pub(crate) fn create(&self, time_us: i64) -> Result<(PathBuf, File), TapeError> {
        let newest = self.files.back().and_then(|(path, _)| number(path, WHOLE));
        // A clock that was set back must not put new files before old ones.
        let number = newest.map_or(0, |newest| newest.saturating_add(1)).max(time_us.max(0) as u64);
        let path = self.path.join(name(number, PARTIAL));
        let file = private_file().create_new(true).write(true).open(&path);
        file.map(|file| (path.clone(), file)).map_err(TapeError::io("make", &path))
    }

    /// Gives a file that is whole and on disk the name of one.
    pub(crate) fn publish(&mut self, partial: &Path, size: u64) -> Result<(), TapeError> {
        let number = number(partial, PARTIAL).unwrap_or_default();
        let path = self.path.join(name(number, WHOLE));
        fs::rename(partial, &path).map_err(TapeError::io("rename", partial))?;
        self.files.push_back((path, size));
        self.total += size;
        // The name is on disk when its folder is.
        let folder = File::open(&self.path).and_then(|folder| folder.sync_all());
        folder.map_err(TapeError::io("sync", &self.path))
    }

    /// Removes the oldest files until all take so many bytes at most.
    pub(crate) fn shrink_to(&mut self, most: u64) -> Result<(), TapeError> {
        while self.total > most
            && let Some((path, size)) = self.files.front()
        {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(TapeError::io("remove", path)(source));
                }
                // Somebody else may have removed it.
                _ => {
                    self.total -= size;
                    self.files.pop_front();
                }
            }
        }
        Ok(())
    }
}

/// The whole files of a folder, oldest first.
pub(crate) fn whole(folder: &Path) -> Result<Vec<PathBuf>, TapeError> {
    let mut files = named(folder, WHOLE)?;
    files.sort_by_key(|path| number(path, WHOLE));
    Ok(files)
}

/// The name of a file with this number, which is about the time of its first record.
fn name(number: u64, (prefix, ending): (&str, &str)) -> String {
    format!("{prefix}{number:016}{ending}")
}

/// The number in the name of such a file.
fn number(path: &Path, (prefix, ending): (&str, &str)) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(prefix)?.strip_suffix(ending)?.parse().ok()
}

/// Files with such a name.
fn named(folder: &Path, kind: (&str, &str)) -> Result<Vec<PathBuf>, TapeError> {
    let failed = |source| TapeError::io("read the folder", folder)(source);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if number(&path, kind).is_some() && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// For the owner only: a tape holds what clients sent.
fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
