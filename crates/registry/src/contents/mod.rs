//! Files under names such as `blobs/ab/abcd….01`: in a folder, or in a bucket. Each appears whole or not at
//! all, is on disk then, and never changes.
//!
//! | module | holds |
//! |---|---|
//! | `folder` | files, synced and renamed |
//! | `bucket` | objects of S3, Google, Azure |
//! | `faults` | what tests make go wrong |

mod bucket;
pub(crate) mod faults;
mod folder;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use bucket::Bucket;
use faults::{Faults, Hook, Step};
pub(crate) use folder::{Folder, sync_folder};

use crate::RegistryError;
use crate::manifest::check_file_name;

/// Where those lie that are not written to their end.
const UNFINISHED: &str = "tmp";

/// Files under names.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    kind: Kind,
    faults: Faults,
}

#[derive(Clone, Debug)]
enum Kind {
    Folder(Folder),
    Bucket(Bucket),
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// How long ago it was written; nothing where the clock jumped back.
    pub(crate) age: Duration,
}

/// Whether a name that is there already is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is an error.
    Refuse,
    /// What is there is replaced.
    Replace,
}

/// A file that is being written; dropped it never was.
pub(crate) struct Writer {
    kind: Writing,
    name: String,
    faults: Faults,
}

enum Writing {
    File(folder::Writing),
    Upload(bucket::Upload),
}

/// A file that is being read, piece by piece.
pub(crate) struct Reader {
    kind: Reading,
    name: String,
    faults: Faults,
}

enum Reading {
    File(folder::Reading),
    Download(bucket::Download),
}

impl Contents {
    /// Files below a folder, which is made where it is not there.
    pub(crate) fn folder(root: &Path) -> Result<Contents, RegistryError> {
        Ok(Contents { kind: Kind::Folder(Folder::open(root)?), faults: Faults::default() })
    }

    /// Objects of a bucket.
    pub(crate) fn bucket(bucket: Bucket) -> Contents {
        Contents { kind: Kind::Bucket(bucket), faults: Faults::default() }
    }

    /// The same, with what a test makes go wrong.
    pub(crate) fn with_faults(self, hook: Hook) -> Contents {
        Contents { faults: Faults::new(hook), ..self }
    }

    /// Refuses a bucket that does not keep to conditions.
    pub(crate) async fn probe(&self) -> Result<(), RegistryError> {
        match &self.kind {
            // That a folder's names are taken once only is up to the operating system.
            Kind::Folder(_) => Ok(()),
            Kind::Bucket(bucket) => bucket.probe().await,
        }
    }

    /// Begins a file of about this size.
    pub(crate) async fn create(
        &self,
        name: &str,
        (bytes, taken): (u64, Taken),
    ) -> Result<Writer, RegistryError> {
        check(name)?;
        self.faults.strike(Step::Create, name)?;
        let kind = match &self.kind {
            Kind::Folder(folder) => Writing::File(folder.create(name, taken)?),
            Kind::Bucket(bucket) => Writing::Upload(bucket.create(name, (bytes, taken))?),
        };
        Ok(Writer { kind, name: name.to_owned(), faults: self.faults.clone() })
    }

    /// Reads a file.
    pub(crate) async fn read(&self, name: &str) -> Result<Reader, RegistryError> {
        check(name)?;
        let kind = match &self.kind {
            Kind::Folder(folder) => Reading::File(folder.read(name)?),
            Kind::Bucket(bucket) => Reading::Download(bucket.read(name).await?),
        };
        Ok(Reader { kind, name: name.to_owned(), faults: self.faults.clone() })
    }

    /// Removes a file. One that is not there is removed.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), RegistryError> {
        check(name)?;
        self.faults.strike(Step::Remove, name)?;
        match &self.kind {
            Kind::Folder(folder) => folder.remove(name),
            Kind::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    /// All files whose names begin with `below/`.
    pub(crate) async fn list(&self, below: &str) -> Result<Vec<Found>, RegistryError> {
        check(below)?;
        self.faults.strike(Step::Look, below)?;
        match &self.kind {
            Kind::Folder(folder) => folder.list(below),
            Kind::Bucket(bucket) => bucket.list(below).await,
        }
    }

    /// What was being written. A bucket does not tell: it drops uploads by its own rules.
    pub(crate) async fn unfinished(&self) -> Result<Vec<Found>, RegistryError> {
        match &self.kind {
            Kind::Folder(folder) => folder.list(UNFINISHED),
            Kind::Bucket(_) => Ok(Vec::new()),
        }
    }

    /// A name as people know it: a path, or a URL.
    pub(crate) fn show(&self, name: &str) -> String {
        match &self.kind {
            Kind::Folder(folder) => folder.path(name).display().to_string(),
            Kind::Bucket(bucket) => bucket.show(name),
        }
    }
}

impl Writer {
    /// Adds a piece.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        if let Err(error) = self.faults.strike(Step::Write, &self.name) {
            // Torn: part of it is there.
            self.add(&piece[..piece.len() / 2]).await?;
            self.faults.strike(Step::Torn, &self.name)?;
            return Err(error);
        }
        self.add(piece).await
    }

    async fn add(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        match &mut self.kind {
            Writing::File(file) => file.write(piece),
            Writing::Upload(upload) => upload.write(piece).await,
        }
    }

    /// Makes it visible. It is on disk when this returns.
    pub(crate) async fn finish(self) -> Result<(), RegistryError> {
        let Writer { kind, name, faults } = self;
        match kind {
            Writing::File(file) => file.finish(|step| faults.strike(step, &name)),
            Writing::Upload(upload) => {
                if let Err(error) = faults.strike(Step::Rename, &name) {
                    upload.discard().await;
                    return Err(error);
                }
                upload.finish().await?;
                faults.strike(Step::Settle, &name)
            }
        }
    }

    /// Leaves nothing of it behind.
    pub(crate) async fn discard(self) {
        if let Writing::Upload(upload) = self.kind {
            upload.discard().await;
        }
    }
}

impl Reader {
    /// Reads a part of a file that belongs to no contents.
    pub(crate) fn part(path: &Path, (from, bytes): (u64, u64)) -> Result<Reader, RegistryError> {
        let kind = Reading::File(folder::Reading::part(path, (from, bytes))?);
        Ok(Reader { kind, name: path.display().to_string(), faults: Faults::default() })
    }

    /// The next piece; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        self.faults.strike(Step::Read, &self.name)?;
        match &mut self.kind {
            Reading::File(file) => file.next(),
            Reading::Download(download) => download.next().await,
        }
    }
}

/// Names come from databases, backups and buckets: none may lead out of the folder.
fn check(name: &str) -> Result<(), RegistryError> {
    check_file_name(name).map_err(RegistryError::Untrusted)
}
