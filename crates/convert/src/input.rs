//! Files and folders of a source model, read where they are asked for: nothing else of this crate
//! does I/O.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::{ConvertError, Limits};

/// What a path leads to.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The path as the caller gave it.
    pub(crate) path: PathBuf,
    /// The file, or `None` for a folder.
    pub(crate) file: Option<Input>,
    file_bytes: u64,
}

impl Source {
    /// Looks at `path`.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Source, ConvertError> {
        let file_bytes = limits.file_bytes;
        let found = path.metadata().map_err(|source| ConvertError::Io {
            action: "find",
            path: path.to_path_buf(),
            source,
        })?;
        let file = if found.is_dir() { None } else { Some(Input::open(path, file_bytes)?) };
        Ok(Source { path: path.to_path_buf(), file, file_bytes })
    }

    /// The file; an error for a folder.
    pub(crate) fn file(&self) -> Result<&Input, ConvertError> {
        self.file.as_ref().ok_or_else(|| ConvertError::Unrecognized {
            path: self.path.clone(),
            expected: "a file".into(),
            found: "a folder".into(),
        })
    }

    /// A file in the same folder as this file, or inside this folder; `None` when there is none.
    /// `name` may come from the model: a path that leads out of the folder is not followed.
    pub(crate) fn beside(&self, name: &str) -> Result<Option<Input>, ConvertError> {
        let folder = if self.file.is_none() { &self.path } else { &folder_of(&self.path) };
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || name.is_empty() || name.contains(['\\', '\0']) {
            return Ok(None);
        }
        let path = folder.join(name);
        let real = |path: &Path| path.canonicalize().ok();
        let within = real(folder).zip(real(&path)).is_some_and(|(one, two)| two.starts_with(one));
        if !within || !path.is_file() {
            return Ok(None);
        }
        Input::open(&path, self.file_bytes).map(Some)
    }

    /// Names of the files beside this file, or inside this folder (not below), sorted.
    pub(crate) fn neighbours(&self) -> Result<Vec<String>, ConvertError> {
        let folder = if self.file.is_none() { self.path.clone() } else { folder_of(&self.path) };
        let io = |source| ConvertError::Io { action: "list", path: folder.clone(), source };
        let mut names = Vec::new();
        for entry in folder.read_dir().map_err(io)? {
            names.extend(entry.map_err(io)?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// A file or bytes in memory, read at any place. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// What to call it in errors.
    pub(crate) path: PathBuf,
    /// Its size in bytes.
    pub(crate) len: u64,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    /// A file, from this offset on.
    File(Arc<File>, u64),
    Memory(Bytes),
}

impl Input {
    fn open(path: &Path, limit: u64) -> Result<Input, ConvertError> {
        let io =
            |action| move |source| ConvertError::Io { action, path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io("open"))?;
        let len = file.metadata().map_err(io("read the size of"))?.len();
        if len > limit {
            let place = format!("'{}'", path.display());
            return Err(ConvertError::TooLarge { place, what: "bytes", found: len, limit });
        }
        Ok(Input { path: path.to_path_buf(), len, data: Data::File(Arc::new(file), 0) })
    }

    /// Bytes in memory under a name.
    pub(crate) fn memory(name: &str, bytes: impl Into<Bytes>) -> Input {
        let bytes = bytes.into();
        Input { path: name.into(), len: bytes.len() as u64, data: Data::Memory(bytes) }
    }

    /// The part of `len` bytes from `offset` as a file of its own; an error where it ends before.
    pub(crate) fn part(&self, name: &str, offset: u64, len: u64) -> Result<Input, ConvertError> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            // The same error as reading there gives.
            self.read(offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        }
        let data = match &self.data {
            Data::File(file, start) => Data::File(file.clone(), start.saturating_add(offset)),
            // Both fit: the bytes are in memory.
            Data::Memory(bytes) => {
                Data::Memory(bytes.slice(offset as usize..(offset + len) as usize))
            }
        };
        Ok(Input { path: name.into(), len, data })
    }

    /// `len` bytes from `offset`; an error where the file ends before.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes, ConvertError> {
        self.read_io(offset, len).map_err(|source| ConvertError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })
    }

    /// Up to `len` bytes from the start.
    pub(crate) fn head(&self, len: usize) -> Result<Bytes, ConvertError> {
        self.read(0, usize::try_from(self.len).map_or(len, |size| size.min(len)))
    }

    /// The whole file, where it has at most `limit` bytes.
    pub(crate) fn read_all(&self, limit: u64) -> Result<Bytes, ConvertError> {
        let place = || format!("'{}'", self.path.display());
        match usize::try_from(self.len) {
            Ok(len) if self.len <= limit => self.read(0, len),
            _ => Err(ConvertError::TooLarge {
                place: place(),
                what: "bytes",
                found: self.len,
                limit,
            }),
        }
    }

    /// A reader that stands at the start.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { input: self.clone(), position: 0 }
    }

    fn read_io(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.len);
        let Some(end) = end else {
            let message = format!(
                "expected {len} bytes at offset {offset}, found a file of {} bytes",
                self.len
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        };
        match &self.data {
            // Both fit: the bytes are in memory.
            Data::Memory(bytes) => Ok(bytes.slice(offset as usize..end as usize)),
            Data::File(file, start) => {
                let mut buffer = vec![0; len];
                file.read_exact_at(&mut buffer, start.saturating_add(offset))?;
                Ok(buffer.into())
            }
        }
    }

    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.data {
            Data::File(file, start) => {
                let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
                let count = left.min(buffer.len());
                file.read_at(&mut buffer[..count], start.saturating_add(offset))
            }
            Data::Memory(bytes) => {
                let start = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
                let count = buffer.len().min(bytes.len() - start);
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
        }
    }
}

/// An [`Input`] read from front to back.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    input: Input,
    position: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read_some(self.position, buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.input.len.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "seek before the start");
        self.position = target.ok_or_else(outside)?;
        Ok(self.position)
    }
}
