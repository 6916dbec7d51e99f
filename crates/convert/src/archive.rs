//! Zip files: entries by name, bounded, without believing what their headers say.

use std::collections::HashMap;
use std::io::Read;

use bytes::Bytes;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::input::{Cursor, Input};
use crate::{ConvertError, Limits};

/// A zip file whose directory was read.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    input: Input,
    archive: ZipArchive<Cursor>,
    format: &'static str,
    entries: HashMap<String, Entry>,
    limits: Limits,
}

/// An entry, as the directory has it.
#[derive(Clone, Debug)]
struct Entry {
    index: usize,
    size: u64,
    /// Where its bytes lie in the file, for entries that are not compressed.
    stored_at: Option<u64>,
}

impl Archive {
    /// Reads the directory of a zip file that is (part of) a model of this format.
    pub(crate) fn open(
        input: &Input,
        format: &'static str,
        limits: &Limits,
    ) -> Result<Archive, ConvertError> {
        let damaged = |error: ZipError| malformed(format, "the zip directory", error);
        let mut archive = ZipArchive::new(input.cursor()).map_err(damaged)?;
        if archive.len() > limits.entries {
            return Err(ConvertError::TooLarge {
                place: format!("'{}'", input.path.display()),
                what: "entries",
                found: archive.len() as u64,
                limit: limits.entries as u64,
            });
        }
        let mut entries = HashMap::with_capacity(archive.len());
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(damaged)?;
            let name = entry.name().map_err(damaged)?.into_owned();
            if entry.encrypted() {
                let message = "it is encrypted; save the model without a password".into();
                let place = format!("entry '{name}'");
                return Err(ConvertError::Malformed { format, place, message });
            }
            let stored = entry.compression() == CompressionMethod::Stored;
            let stored_at = if stored { entry.data_start() } else { None };
            entries.insert(name, Entry { index, size: entry.size(), stored_at });
        }
        Ok(Archive { input: input.clone(), archive, format, entries, limits: limits.clone() })
    }

    /// Names of all entries, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is an entry of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The bytes of an entry. Those that are stored share no memory with others and are read once;
    /// their checksum is not looked at, as weights are verified by running the model.
    pub(crate) fn read(&self, name: &str) -> Result<Bytes, ConvertError> {
        let entry = self.entry(name)?;
        self.read_bounded(name, entry, self.limits.entry_bytes)
    }

    /// The text of an entry that describes the model.
    pub(crate) fn read_text(&self, name: &str) -> Result<String, ConvertError> {
        let bytes = self.read_bounded(name, self.entry(name)?, self.limits.description_bytes)?;
        let text = String::from_utf8(bytes.into());
        text.map_err(|error| malformed(self.format, &format!("entry '{name}'"), error))
    }

    /// A stored (not compressed) entry as a file of its own, read at any place; compressed entries
    /// are unpacked into memory.
    pub(crate) fn input(&self, name: &str) -> Result<Input, ConvertError> {
        Ok(Input::memory(name, self.read(name)?))
    }

    /// `len` bytes of an entry from `offset`.
    pub(crate) fn read_part(
        &self,
        name: &str,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, ConvertError> {
        let entry = self.entry(name)?;
        let end = offset.checked_add(len as u64).filter(|&end| end <= entry.size);
        let (Some(_), Some(start)) = (end, entry.stored_at) else {
            let whole = self.read(name)?;
            let from = usize::try_from(offset).ok();
            let range = from.and_then(|from| Some(from..from.checked_add(len)?));
            let range = range.filter(|range| range.end <= whole.len()).ok_or_else(|| {
                let found = whole.len();
                let message = format!("expected {len} bytes at {offset}, found {found} in all");
                malformed(self.format, &format!("entry '{name}'"), message)
            })?;
            return Ok(whole.slice(range));
        };
        self.input.read(start.saturating_add(offset), len)
    }

    fn entry(&self, name: &str) -> Result<&Entry, ConvertError> {
        let missing = || malformed(self.format, "the archive", format!("it has no '{name}'"));
        self.entries.get(name).ok_or_else(missing)
    }

    fn read_bounded(&self, name: &str, entry: &Entry, limit: u64) -> Result<Bytes, ConvertError> {
        let place = format!("entry '{name}'");
        let too_large =
            |found| ConvertError::TooLarge { place: place.clone(), what: "bytes", found, limit };
        if entry.size > limit {
            return Err(too_large(entry.size));
        }
        if let (Some(start), Ok(len)) = (entry.stored_at, usize::try_from(entry.size)) {
            return self.input.read(start, len);
        }
        let damaged = |error: &dyn std::fmt::Display| malformed(self.format, &place, error);
        // Handles of their own: an archive is shared by everything that reads weights.
        let mut archive = self.archive.clone();
        let reader = archive.by_index(entry.index).map_err(|error| damaged(&error))?;
        let mut bytes = Vec::new();
        let mut bounded = reader.take(limit.saturating_add(1));
        bounded.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes.into())
    }
}

fn malformed(format: &'static str, place: &str, error: impl std::fmt::Display) -> ConvertError {
    ConvertError::Malformed { format, place: place.into(), message: error.to_string() }
}
