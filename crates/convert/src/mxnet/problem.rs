//! What can be wrong with one node.

use std::fmt;

/// Why a node has no shape or no conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Its inputs or attributes do not fit together, as was expected and found.
    Shape(String),
    /// It is right, but not covered.
    Refused {
        /// What is not covered.
        reason: String,
        /// What to do instead.
        way_out: String,
    },
    /// It would be covered if sizes were known that are free.
    FreeSize(String),
}

impl Problem {
    pub(super) fn shape(message: impl Into<String>) -> Problem {
        Problem::Shape(message.into())
    }

    pub(super) fn refused(reason: impl Into<String>, way_out: impl Into<String>) -> Problem {
        Problem::Refused { reason: reason.into(), way_out: way_out.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Shape(message) | Problem::FreeSize(message) => f.write_str(message),
            Problem::Refused { reason, .. } => write!(f, "{reason} is not covered"),
        }
    }
}
