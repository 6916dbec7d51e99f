//! What can go wrong with a tape.

use std::io;
use std::path::{Path, PathBuf};

use crate::VERSION;

/// Why a tape cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The system refused.
    #[error("failed to {what} '{}'", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes there.
    #[error("another process records into '{}': give each server a folder of its own", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A record that would take most of the tape.
    #[error("the request takes {bytes} bytes, but the tape takes {most} of one at most")]
    TooLarge {
        /// Bytes of the record.
        bytes: u64,
        /// Most bytes.
        most: u64,
    },
    /// A Parquet file of somebody else.
    #[error("'{}' is no tape: it is a Parquet file without recorded requests", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version of the program.
    #[error(
        "'{}' is a tape of schema version {found}, this program reads up to {VERSION}: use a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// No Parquet file, or a damaged one.
    #[error("'{}' is no tape, or a damaged one: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Nothing there to read.
    #[error("there is no tape in '{}': expected files named tape-*.parquet", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
}

impl TapeError {
    /// Whether a file is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, TapeError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TapeError {
        move |source| TapeError::Io { what, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> TapeError {
        TapeError::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
}
