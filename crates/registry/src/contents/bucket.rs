//! Objects of a bucket: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Small files are put at once, under the condition that the name is free; large ones in parts. Either
//! way one appears whole or not at all. Every request has a deadline, and is tried again a few times.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use super::{Found, Taken};
use crate::RegistryError;

/// Bytes of a part, and of what is read at once. Memory that a transfer takes is about this.
const PART_BYTES: u64 = 8 << 20;
/// Most parts of an object; S3 allows 10,000.
const PARTS_MAX: u64 = 9_000;

/// Objects below a prefix.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The URL as people may see it.
    shown: String,
}

/// An object that is being written.
pub(super) struct Upload {
    bucket: Bucket,
    path: Path,
    taken: Taken,
    part_bytes: usize,
    buffer: Vec<u8>,
    /// Once it is larger than a part.
    parts: Option<Box<dyn MultipartUpload>>,
}

/// An object that is being read.
pub(super) struct Download {
    bucket: Bucket,
    path: Path,
    read: u64,
    bytes: u64,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Bucket {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path, shown: String) -> Bucket {
        Bucket { store, prefix, shown }
    }

    pub(super) fn show(&self, name: &str) -> String {
        format!("{}/{name}", self.shown)
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }

    /// Attaches what was tried to an error.
    fn failed(&self, action: &'static str, path: &Path) -> impl FnOnce(Error) -> RegistryError {
        let prefix = self.prefix.as_ref();
        let name = path.as_ref().strip_prefix(prefix).unwrap_or(path.as_ref());
        let place = self.show(name.trim_start_matches('/'));
        move |source| RegistryError::Store { action, place, source: source.into() }
    }

    /// Writes an object twice under the condition that its name is free.
    pub(super) async fn probe(&self) -> Result<(), RegistryError> {
        let path = self.path(&format!("probe/{:016x}", fastrand::u64(..)));
        let put = async || {
            let options = PutOptions::from(PutMode::Create);
            self.store.put_opts(&path, PutPayload::from_static(b"probe"), options).await
        };
        let unfit = |why: &str| {
            Err(RegistryError::Invalid(format!(
                "the store '{}' {why}: a registry needs one that keeps to `If-None-Match: *`; use another, \
                 or a newer version of it",
                self.shown
            )))
        };
        match put().await {
            Ok(_) => {}
            // Who may only read has nothing to lose.
            Err(Error::PermissionDenied { .. }) => return Ok(()),
            Err(Error::NotImplemented { .. }) => return unfit("knows no conditions"),
            Err(error) => return Err(self.failed("write", &path)(error)),
        }
        let again = put().await;
        // Best effort: who may write only leaves an empty object.
        let _ = self.store.delete(&path).await;
        match again {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(()),
            Ok(_) => unfit("ignores conditions"),
            Err(error) => Err(self.failed("write", &path)(error)),
        }
    }

    pub(super) fn create(
        &self,
        name: &str,
        (bytes, taken): (u64, Taken),
    ) -> Result<Upload, RegistryError> {
        let part_bytes = usize::try_from(PART_BYTES.max(bytes / PARTS_MAX)).unwrap_or(usize::MAX);
        let (bucket, path) = (self.clone(), self.path(name));
        Ok(Upload { bucket, path, taken, part_bytes, buffer: Vec::new(), parts: None })
    }

    pub(super) async fn read(&self, name: &str) -> Result<Download, RegistryError> {
        let path = self.path(name);
        let head = self.store.head(&path).await.map_err(self.failed("read content", &path))?;
        Ok(Download { bucket: self.clone(), path, read: 0, bytes: head.size })
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), RegistryError> {
        let path = self.path(name);
        match self.store.delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", &path)(error)),
        }
    }

    pub(super) async fn list(&self, below: &str) -> Result<Vec<Found>, RegistryError> {
        let path = self.path(below);
        let mut objects = self.store.list(Some(&path));
        let mut found = Vec::new();
        while let Some(object) =
            objects.try_next().await.map_err(self.failed("read folder", &path))?
        {
            let Some(parts) = object.location.prefix_match(&self.prefix) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            let age = SystemTime::now().duration_since(object.last_modified.into());
            let (name, age) = (parts.join("/"), age.unwrap_or_default());
            found.push(Found { name, bytes: object.size, age });
        }
        Ok(found)
    }
}

impl Upload {
    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        self.buffer.extend_from_slice(piece);
        while self.buffer.len() > self.part_bytes {
            let rest = self.buffer.split_off(self.part_bytes);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.put_part(part).await?;
        }
        Ok(())
    }

    async fn put_part(&mut self, part: Vec<u8>) -> Result<(), RegistryError> {
        let Upload { bucket, path, parts, .. } = self;
        let failed = || bucket.failed("write", path);
        let parts = match parts {
            Some(parts) => parts,
            None => parts.insert(bucket.store.put_multipart(path).await.map_err(|e| failed()(e))?),
        };
        parts.put_part(part.into()).await.map_err(failed())
    }

    pub(super) async fn finish(mut self) -> Result<(), RegistryError> {
        let last = std::mem::take(&mut self.buffer);
        if self.parts.is_some() {
            let finished = match self.put_part(last).await {
                Ok(()) => self.complete().await,
                Err(error) => Err(error),
            };
            if finished.is_err() {
                self.discard().await;
            }
            return finished;
        }
        let mode = match self.taken {
            Taken::Refuse => PutMode::Create,
            Taken::Replace => PutMode::Overwrite,
        };
        let Upload { bucket, path, .. } = self;
        let bytes = last.len() as u64;
        match bucket.store.put_opts(&path, last.into(), mode.into()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Names are random: what is there was put by this request, which was tried again when
                // no answer came.
                let is_ours = matches!(error, Error::AlreadyExists { .. })
                    && bucket.store.head(&path).await.is_ok_and(|head| head.size == bytes);
                if is_ours { Ok(()) } else { Err(bucket.failed("write", &path)(error)) }
            }
        }
    }

    async fn complete(&mut self) -> Result<(), RegistryError> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        let completed = parts.complete().await.map(drop);
        completed.map_err(self.bucket.failed("write", &self.path))
    }

    /// Best effort: the bucket drops what was not completed by its own rules.
    pub(super) async fn discard(mut self) {
        if let Some(parts) = &mut self.parts {
            let _ = parts.abort().await;
        }
    }
}

impl Download {
    /// Each piece is a request of its own, so that each has a deadline whatever the size of the whole.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if self.read >= self.bytes {
            return Ok(None);
        }
        let until = self.bytes.min(self.read + PART_BYTES);
        let piece = self.bucket.store.get_range(&self.path, self.read..until).await;
        let piece = piece.map_err(self.bucket.failed("read", &self.path))?;
        self.read += piece.len() as u64;
        // One that grew shorter meanwhile has ended.
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}
