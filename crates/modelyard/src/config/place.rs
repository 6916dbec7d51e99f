//! Where a value was written, so that a mistake can be found again.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A line of a file, counted from 1; without a line where the file as a whole is meant.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: Option<usize>,
    },
    /// A model of the registry, by name.
    Registry(String),
    /// Nowhere: the built-in default.
    Default,
}

impl Place {
    /// The line in a file, where there is one.
    pub(crate) fn line(&self) -> Option<usize> {
        match self {
            Place::File { line, .. } => *line,
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Flag(flag) => f.write_str(flag),
            Place::Environment(name) => write!(f, "environment variable {name}"),
            Place::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Place::File { path, line: None } => write!(f, "{}", path.display()),
            Place::Registry(model) => write!(f, "the registry's '{model}'"),
            Place::Default => f.write_str("default"),
        }
    }
}
