//! Zip files: entries by name, bounded, without believing what their headers say.

use std::collections::HashMap;
use std::io::Read;

use bytes::Bytes;
use zip::read::{ArchiveOffset, Config};
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
        // No model has anything before its archive. Looking for the start of the directory instead
        // finds its second entry where the first happens to be as long as torch's closing records.
        let from_the_start = Config { archive_offset: ArchiveOffset::Known(0) };
        let archive = ZipArchive::with_config(from_the_start, input.cursor());
        let mut archive = archive.map_err(damaged)?;
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
        let entry = self.entry(name)?;
        match entry.stored_at {
            Some(start) => self.input.part(name, start, entry.size),
            None => Ok(Input::memory(name, self.read(name)?)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn archive(method: CompressionMethod, content: &[u8]) -> Vec<u8> {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file("weights", options).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap().into_inner()
    }

    fn open(bytes: Vec<u8>, limits: &Limits) -> Result<Archive, ConvertError> {
        Archive::open(&Input::memory("model.zip", bytes), "test model", limits)
    }

    #[test]
    fn entries_are_read_whole_and_in_part() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let archive = open(archive(method, b"0123456789"), &Limits::default()).unwrap();
            assert_eq!(archive.names(), ["weights"]);
            assert_eq!(archive.read("weights").unwrap(), "0123456789");
            assert_eq!(archive.read_part("weights", 3, 4).unwrap(), "3456");
            let input = archive.input("weights").unwrap();
            assert_eq!((input.len, input.read(3, 4).unwrap()), (10, "3456".into()));
            assert!(input.read(8, 3).is_err());
            assert!(archive.read_part("weights", 8, 3).is_err());
            assert!(archive.read_part("weights", u64::MAX, 3).is_err());
            assert!(archive.read("other").unwrap_err().to_string().contains("has no 'other'"));
        }
    }

    /// torch closes its archives with records for large files (56 and 20 bytes), though their
    /// numbers fit the usual one. `resnet50.pt2` begins with `resnet50/data/weights/weight_0`, whose
    /// 46 + 30 bytes in the directory are as many.
    #[test]
    fn a_first_name_of_thirty_letters_does_not_hide_the_directory() {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for name in ["resnet50/data/weights/weight_0", "resnet50/data/weights/weight_1"] {
            writer.start_file(name, options).unwrap();
            writer.write_all(name.as_bytes()).unwrap();
        }
        let mut bytes = writer.finish().unwrap().into_inner();
        let end = bytes.split_off(bytes.len() - 22);
        let (size, start) = (&end[12..16], &end[16..20]);
        let zeros = [0; 16];
        let end64 = bytes.len() as u64;
        bytes.extend([b"PK\x06\x06\x2c", &zeros[..7], b"\x1e\x03\x2d\0", &zeros[..8]].concat());
        bytes.extend([b"\x02", &zeros[..7], b"\x02", &zeros[..7]].concat());
        bytes.extend([size, &zeros[..4], start, &zeros[..4]].concat());
        bytes.extend([b"PK\x06\x07", &zeros[..4], &end64.to_le_bytes(), b"\x01\0\0\0"].concat());
        bytes.extend(end);
        let archive = open(bytes, &Limits::default()).unwrap();
        assert_eq!(archive.names().len(), 2);
        let name = "resnet50/data/weights/weight_1";
        assert_eq!(archive.read(name).unwrap(), name);
    }

    #[test]
    fn a_zip_bomb_is_refused_at_the_limit() {
        let bomb = archive(CompressionMethod::Deflated, &vec![0; 1 << 20]);
        assert!(bomb.len() < 4096);
        let limits = Limits { entry_bytes: 1 << 16, ..Limits::default() };
        let error = open(bomb.clone(), &limits).unwrap().read("weights").unwrap_err().to_string();
        assert!(error.contains("at most 65536 are allowed"), "{error}");
        // The same with a directory that lies about the size.
        let size = (1u32 << 20).to_le_bytes();
        let lying: Vec<u8> = {
            let mut bytes = bomb;
            let at = bytes.windows(4).rposition(|window| window == size).unwrap();
            bytes[at..at + 4].copy_from_slice(&16u32.to_le_bytes());
            bytes
        };
        assert!(open(lying, &limits).unwrap().read("weights").is_err());
    }

    #[test]
    fn too_many_entries_are_refused() {
        let limits = Limits { entries: 0, ..Limits::default() };
        let error = open(archive(CompressionMethod::Stored, b"x"), &limits).unwrap_err();
        assert!(error.to_string().contains("1 entries, at most 0"), "{error}");
    }

    #[test]
    fn an_encrypted_archive_is_said_to_be_one() {
        let mut bytes = archive(CompressionMethod::Stored, b"secret");
        // The flag in the local header and in the directory.
        for magic in [b"PK\x03\x04", b"PK\x01\x02"] {
            let at = bytes.windows(4).position(|window| window == magic).unwrap();
            let flags = if magic == b"PK\x03\x04" { at + 6 } else { at + 8 };
            bytes[flags] |= 1;
        }
        let error = open(bytes, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains("it is encrypted"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_archive_is_read_or_refused(at in 0usize..500, byte: u8, cut in 0usize..500) {
            let mut bytes = archive(CompressionMethod::Deflated, b"0123456789");
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(cut.max(1));
            if let Ok(archive) = open(bytes, &Limits { entry_bytes: 1 << 20, ..Limits::default() }) {
                for name in archive.names() {
                    let _ = archive.read(name);
                    let _ = archive.read_part(name, 2, 5);
                }
            }
        }
    }
}
