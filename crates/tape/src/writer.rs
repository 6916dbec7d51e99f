//! Records in, files out.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use crate::folder::Folder;
use crate::record::Record;
use crate::schema::{SCHEMA, properties};
use crate::{TapeError, columns};

/// Bytes and records that are gathered before they are written as a row group.
const GROUP_BYTES: u64 = 4 << 20;
const GROUP_RECORDS: usize = 4096;
/// No record is larger: Parquet counts a page's bytes in 32 bits.
const RECORD_BYTES: u64 = 1 << 30;
/// What the description of a row group takes at most, in the file and at its end.
const GROUP_OVERHEAD: u64 = 16 << 10;

/// How much a tape takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together, the one being written included.
    pub max_bytes: u64,
    /// Bytes of one file; a quarter of `max_bytes` at most, whatever is said here.
    pub file_bytes: u64,
    /// How long records wait before their file is closed and can be read.
    pub file_age: Duration,
}

/// What a writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records in files that are whole.
    pub written: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Records that were taken and lost to an error.
    pub lost: u64,
}

/// Writes records into a folder. Dropped without [`Writer::close`], it loses those that are in no
/// whole file yet.
pub struct Writer {
    folder: Folder,
    limits: Limits,
    /// Records of the next row group, and about their bytes.
    pending: Vec<Record>,
    pending_bytes: u64,
    open: Option<Open>,
    /// When the first record that is in no whole file came.
    since: Option<Instant>,
    figures: Figures,
}

/// The file being written.
struct Open {
    path: PathBuf,
    file: SerializedFileWriter<File>,
    records: u64,
    groups: u64,
}

impl Writer {
    /// Opens a folder, which this process alone writes to from then on.
    pub fn open(folder: &Path, limits: Limits) -> Result<Writer, TapeError> {
        let file_bytes = limits.file_bytes.clamp(1, (limits.max_bytes / 4).max(1));
        let mut folder = Folder::open(folder)?;
        folder.shrink_to(limits.max_bytes)?;
        Ok(Writer {
            folder,
            limits: Limits { file_bytes, ..limits },
            pending: Vec::new(),
            pending_bytes: 0,
            open: None,
            since: None,
            figures: Figures::default(),
        })
    }

    /// Takes a record. After an error what was in no whole file is lost, and the next record begins
    /// anew; only [`TapeError::TooLarge`] is about this record alone.
    pub fn add(&mut self, record: Record, now: Instant) -> Result<(), TapeError> {
        let bytes = record.bytes();
        let most = (self.limits.max_bytes / 4).min(RECORD_BYTES);
        if bytes > most {
            self.figures.lost += 1;
            return Err(TapeError::TooLarge { bytes, most });
        }
        let is_full =
            self.pending_bytes + bytes > self.group_bytes() || self.pending.len() >= GROUP_RECORDS;
        if is_full && !self.pending.is_empty() {
            self.write_group().inspect_err(|_| self.figures.lost += 1)?;
        }
        self.pending_bytes += bytes;
        self.pending.push(record);
        self.since.get_or_insert(now);
        if self.pending_bytes >= self.group_bytes() {
            self.write_group()?;
        }
        Ok(())
    }

    /// When the file being written is old enough to be closed.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limits.file_age)
    }

    /// Closes the file being written: what it holds is on disk and can be read. Without records
    /// there is none.
    pub fn close(&mut self) -> Result<(), TapeError> {
        if !self.pending.is_empty() {
            self.write_group()?;
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        let records = open.records;
        let closed = self.finish(open);
        self.since = None;
        match closed {
            Ok(bytes) => {
                self.figures.written += records;
                self.figures.bytes += bytes;
            }
            Err(_) => self.figures.lost += records,
        }
        closed.map(drop)
    }

    /// What it has done so far.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    fn group_bytes(&self) -> u64 {
        // So that a file is not much larger than it should be.
        GROUP_BYTES.min(self.limits.file_bytes / 4).max(1)
    }

    /// Writes what is pending; closes the file when it is full.
    fn write_group(&mut self) -> Result<(), TapeError> {
        let records = std::mem::take(&mut self.pending);
        let bytes = std::mem::take(&mut self.pending_bytes);
        let written = self.try_write_group(&records, bytes);
        if written.is_err() {
            let open = self.open.take();
            self.figures.lost += records.len() as u64 + open.as_ref().map_or(0, |o| o.records);
            self.since = None;
            if let Some(open) = open {
                discard(open);
            }
            return written;
        }
        let full = self.open.as_ref().is_some_and(|open| open.bytes() >= self.limits.file_bytes);
        if full { self.close() } else { Ok(()) }
    }

    fn try_write_group(&mut self, records: &[Record], bytes: u64) -> Result<(), TapeError> {
        // Packing makes nothing larger by more than this.
        let takes = bytes + bytes / 64 + GROUP_OVERHEAD;
        let written = self.open.as_ref().map_or(0, |open| open.bytes());
        self.folder.shrink_to(self.limits.max_bytes.saturating_sub(written + takes))?;
        if self.open.is_none() {
            let time_us = records.first().map_or(0, |record| record.time_us);
            let (path, file) = self.folder.create(time_us)?;
            match SerializedFileWriter::new(file, SCHEMA.clone(), properties()) {
                Ok(file) => self.open = Some(Open { path, file, records: 0, groups: 0 }),
                Err(error) => return Err(failed(&path, error)),
            }
        }
        let open = self.open.as_mut().expect("it was opened above");
        columns::write(&mut open.file, records).map_err(|error| failed(&open.path, error))?;
        open.records += records.len() as u64;
        open.groups += 1;
        Ok(())
    }

    /// Ends a file, makes sure it is on disk, gives it its name.
    fn finish(&mut self, open: Open) -> Result<u64, TapeError> {
        let path = open.path.clone();
        let finished = open.file.into_inner().map_err(|error| failed(&path, error));
        let finished = finished.and_then(|file| {
            file.sync_all().map_err(TapeError::io("sync", &path))?;
            let size = file.metadata().map_err(TapeError::io("look at", &path))?.len();
            self.folder.publish(&path, size)?;
            Ok(size)
        });
        if finished.is_err() {
            // Best effort: the error that matters is the first one.
            let _ = fs::remove_file(&path);
        }
        finished
    }
}

impl Open {
    /// Bytes of the file once it is closed, at most.
    fn bytes(&self) -> u64 {
        self.file.bytes_written() as u64 + self.groups * GROUP_OVERHEAD / 2
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            discard(open);
        }
    }
}

/// Gives a file up. Best effort: one that stays is removed at the next start.
fn discard(open: Open) {
    let _ = fs::remove_file(&open.path);
}

/// An error of the library as one of ours: what the system said, where it did.
fn failed(path: &Path, error: ParquetError) -> TapeError {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(said) => *said,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    };
    TapeError::Io { what: "write", path: path.to_owned(), source }
}
