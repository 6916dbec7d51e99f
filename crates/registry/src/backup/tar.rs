//! A backup as one file: tar, as POSIX.1-1988 has it (`ustar`), with sizes beyond 8 GiB as GNU has them.
//!
//! Only what a backup is made of is read: files under its names. No size is believed beyond the file's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{CONTENTS, ENDING, SNAPSHOTS};
use crate::contents::{self, sync_folder};
use crate::digest::Hasher;
use crate::error::io;
use crate::{Digest, RegistryError};

/// Everything is a multiple of this.
const BLOCK: u64 = 512;
/// Most files in a tar.
const FILES_MAX: usize = 1_000_000;
/// Fields of a header: where they begin and end.
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..262;

/// A tar that is being written; dropped it never was.
pub(super) struct Writer {
    file: BufWriter<NamedTempFile>,
    target: PathBuf,
    folder: PathBuf,
}

impl Writer {
    /// Begins a file that must not be there yet.
    pub(super) fn create(target: &Path) -> Result<Writer, RegistryError> {
        if target.exists() {
            let text = format!("'{}' is there already", target.display());
            return Err(RegistryError::Conflict(text));
        }
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let file = tempfile::Builder::new().prefix(".backup-").tempfile_in(&folder);
        let file = BufWriter::new(file.map_err(io("make a file in", &folder))?);
        Ok(Writer { file, target: target.to_owned(), folder })
    }

    /// Adds a file of a size that is known; answers digest and size of what there was to read.
    pub(super) async fn add(
        &mut self,
        name: &str,
        bytes: u64,
        mut reader: contents::Reader,
    ) -> Result<(Digest, u64), RegistryError> {
        self.write(&header(name, bytes)?)?;
        let mut hasher = Hasher::default();
        while let Some(piece) = reader.next().await? {
            hasher.update(&piece);
            self.write(&piece)?;
        }
        self.write(&vec![0; padding(bytes)])?;
        Ok(hasher.finish())
    }

    /// Makes it visible.
    pub(super) fn finish(mut self) -> Result<(), RegistryError> {
        // Two empty blocks are the end.
        self.write(&[0; 2 * BLOCK as usize])?;
        let Writer { file, target, folder } = self;
        let file = file.into_inner().map_err(|error| io("write", &target)(error.into_error()))?;
        file.as_file().sync_all().map_err(io("write", &target))?;
        file.persist_noclobber(&target).map_err(|error| io("write", &target)(error.error))?;
        sync_folder(&folder)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        self.file.write_all(bytes).map_err(io("write", &self.target))
    }
}

fn padding(bytes: u64) -> usize {
    (bytes.next_multiple_of(BLOCK) - bytes) as usize
}

fn header(name: &str, bytes: u64) -> Result<[u8; BLOCK as usize], RegistryError> {
    let mut header = [0; BLOCK as usize];
    let long = || RegistryError::Invalid(format!("'{name}' is too long for a tar"));
    header.get_mut(..name.len()).filter(|_| name.len() < NAME.end).ok_or_else(long)?;
    header[..name.len()].copy_from_slice(name.as_bytes());
    // Mode, owner, group, size, time, kind, magic and version.
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    match bytes {
        0..0o1_0000_0000_0000 => {
            header[SIZE].copy_from_slice(format!("{bytes:011o}\0").as_bytes());
        }
        _ => {
            header[SIZE.start] = 0x80;
            header[SIZE.end - 8..SIZE.end].copy_from_slice(&bytes.to_be_bytes());
        }
    }
    header[136..148].copy_from_slice(b"00000000000\0");
    header[KIND] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum = checksum(&header);
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// The sum of all bytes, those of the sum itself taken for spaces.
fn checksum(header: &[u8; BLOCK as usize]) -> u64 {
    let bytes = header.iter().enumerate();
    bytes.map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

/// Where the files of a tar are.
pub(super) struct Index {
    path: PathBuf,
    files: BTreeMap<String, (u64, u64)>,
}

impl Index {
    pub(super) fn read(path: &Path) -> Result<Index, RegistryError> {
        let mut file = File::open(path).map_err(io("read backup", path))?;
        let end = file.metadata().map_err(io("read backup", path))?.len();
        let mut files = BTreeMap::new();
        let mut at = 0;
        let wrong = |text: String| {
            Err(RegistryError::Untrusted(format!("'{}' is no backup: {text}", path.display())))
        };
        loop {
            let mut header = [0; BLOCK as usize];
            if at + BLOCK > end {
                return wrong("it is cut off".into());
            }
            file.seek(SeekFrom::Start(at)).map_err(io("read backup", path))?;
            file.read_exact(&mut header).map_err(io("read backup", path))?;
            at += BLOCK;
            if header.iter().all(|byte| *byte == 0) {
                return Ok(Index { path: path.to_owned(), files });
            }
            let Some((name, bytes)) = parse(&header) else {
                return wrong(format!("no header at byte {}", at - BLOCK));
            };
            if bytes > end - at {
                return wrong(format!("'{}' is cut off", shown(&name)));
            }
            match header[KIND] {
                // A folder, as other programs add them.
                b'5' if bytes == 0 => {}
                b'0' | 0 if is_of_backup(&name) => {
                    if files.len() == FILES_MAX {
                        return wrong(format!("it has more than {FILES_MAX} files"));
                    }
                    if files.insert(name.clone(), (at, bytes)).is_some() {
                        return wrong(format!("'{name}' is there twice"));
                    }
                }
                _ => return wrong(format!("'{}' is no part of one", shown(&name))),
            }
            at += bytes + padding(bytes) as u64;
        }
    }

    /// Names and sizes.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, u64)> {
        self.files.iter().map(|(name, (_, bytes))| (name.clone(), *bytes))
    }

    pub(super) fn open(&self, name: &str) -> Result<contents::Reader, RegistryError> {
        let part = self.files.get(name).ok_or_else(|| {
            RegistryError::NotFound(format!("'{}' has no '{name}'", self.path.display()))
        })?;
        contents::Reader::part(&self.path, *part)
    }
}

/// Name and size of a file, from its header.
fn parse(header: &[u8; BLOCK as usize]) -> Option<(String, u64)> {
    let octal = |field: &[u8]| {
        let text = std::str::from_utf8(field).ok()?;
        u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
    };
    if &header[MAGIC] != b"ustar" || octal(&header[CHECKSUM])? != checksum(header) {
        return None;
    }
    let bytes = match header[SIZE.start] {
        0x80 => u64::from_be_bytes(header[SIZE.end - 8..SIZE.end].try_into().ok()?),
        _ => octal(&header[SIZE])?,
    };
    let name = header[NAME].split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    // `tar -C backup .` puts this before every name.
    let name = name.strip_prefix("./").unwrap_or(name).to_owned();
    Some((name, bytes))
}

/// Whether a name is one that backups have.
fn is_of_backup(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_hexdigit() || ".-".contains(c);
    let plain =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain);
    match name.split('/').collect::<Vec<_>>()[..] {
        [folder, prefix, place] if folder == CONTENTS => {
            plain(prefix) && plain(place) && place.starts_with(prefix)
        }
        [folder, file] if folder == SNAPSHOTS => file.strip_suffix(ENDING).is_some_and(plain),
        _ => false,
    }
}

fn shown(name: &str) -> String {
    name.chars().take(100).flat_map(char::escape_default).collect()
}
