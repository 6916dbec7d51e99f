//! The files of a folder, or those that were named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::folder;
use crate::reader::{self, Part, Reader};
use crate::{Record, TapeError};

/// Most files that are searched for the newest requests of a model: quiet servers make many.
const LOOKED_AT: usize = 16;

/// Recorded requests in several files.
#[derive(Clone, Debug)]
pub struct Tape {
    /// Oldest first.
    files: Vec<PathBuf>,
}

impl Tape {
    /// The tape at these paths: each a folder, of which all whole files are taken, or a file.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Tape, TapeError> {
        let mut files = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let found = path.metadata().map_err(TapeError::io("open the tape", path))?;
            if !found.is_dir() {
                files.push(path.to_owned());
                continue;
            }
            let whole = folder::whole(path)?;
            if whole.is_empty() {
                return Err(TapeError::Nothing { path: path.to_owned() });
            }
            files.extend(whole);
        }
        Ok(Tape { files })
    }

    /// Its files, oldest first.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The models whose requests it holds.
    pub fn models(&self) -> Result<BTreeSet<String>, TapeError> {
        let mut models = BTreeSet::new();
        for path in &self.files {
            models.extend(Reader::models(path)?);
        }
        Ok(models)
    }

    /// The newest requests for a model, newest first, without outputs: those in the last so many
    /// row groups (of 4 MiB at most) that hold any, in the newest 16 files.
    pub fn newest(&self, model: &str, groups: usize) -> Result<Vec<Record>, TapeError> {
        let mut groups = groups;
        let mut found = Vec::new();
        for path in self.files.iter().rev().take(LOOKED_AT) {
            if groups == 0 {
                break;
            }
            match reader::last(path, model, &mut groups) {
                Ok(records) => found.extend(records),
                // The tape goes on meanwhile: an old file may have made room.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// All records, oldest first. Ends after the first error.
    pub fn records(&self, part: Part) -> impl Iterator<Item = Result<Record, TapeError>> + Send {
        let mut ended = false;
        let files = self.files.clone().into_iter();
        let records = files.flat_map(move |path| {
            let (reader, error) = match Reader::open(&path, part) {
                Ok(reader) => (Some(reader), None),
                // The tape goes on meanwhile: the oldest file may have made room.
                Err(error) if error.is_gone() => (None, None),
                Err(error) => (None, Some(Err(error))),
            };
            reader.into_iter().flatten().chain(error)
        });
        records.take_while(move |record| !std::mem::replace(&mut ended, record.is_err()))
    }
}
