//! Why a model was not converted.

use std::fmt;
use std::path::PathBuf;

use modelyard_graph::ReadError;
use modelyard_graph::obstacle::{Unadaptable, lines};

/// Why a model was not read or converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file system said no.
    #[error("failed to {action} '{path}'", path = .path.display())]
    Io {
        /// What was attempted, such as `open`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: std::io::Error,
    },
    /// More of something than is allowed.
    #[error("{place} has {found} {what}, at most {limit} are allowed")]
    TooLarge {
        /// Which part of the model.
        place: String,
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How much.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// It is no model that we know of.
    #[error("'{path}' is not a model: expected {expected}; found {found}", path = .path.display())]
    Unrecognized {
        /// What was looked at.
        path: PathBuf,
        /// What would have been understood.
        expected: String,
        /// What it looks like instead, and what helps.
        found: String,
    },
    /// The format was recognized, but what is inside is damaged or contradicts itself.
    #[error("the {format} is damaged: {place}: {message}")]
    Malformed {
        /// Which format, as in [`crate::Format`].
        format: &'static str,
        /// Which part of the file.
        place: String,
        /// What was expected and what was found.
        message: String,
    },
    /// An ONNX model was not read.
    #[error(transparent)]
    Onnx(ReadError),
    /// Some of its operators have no conversion. All of them, in the order of the model.
    #[error("{}", Listed(.0))]
    Unsupported(Vec<Missing>),
    /// The graph cannot be written in another version of the operators, or its functions put in.
    #[error(transparent)]
    Unadaptable(#[from] Unadaptable),
    /// An option does not fit the model.
    #[error("{0}")]
    Option(String),
    /// The graph that was written is not valid: a mistake of this program, not of the model.
    #[error("the conversion wrote an invalid graph, which is a mistake in modelyard")]
    Invalid(#[from] ReadError),
}

/// One operator, layer or feature of a model that has no conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The operator or layer as its framework calls it.
    pub operator: String,
    /// Where it stands in the model: the name of the node or layer.
    pub place: String,
    /// What of it is not covered, such as `the operator`, or `padding mode 'wrap'`.
    pub reason: String,
    /// The nearest way out: what to change in the model or its export.
    pub way_out: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at '{}': {} is not covered", self.operator, self.place, self.reason)?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, "; {}", self.way_out) }
    }
}

/// Everything that is missing, a line for each kind.
struct Listed<'a>(&'a [Missing]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "the model has {} part{plural} that cannot be converted:", self.0.len())?;
        let parts =
            |it: &Missing| [&it.operator, &it.place, &it.reason, &it.way_out].map(String::clone);
        let parts: Vec<[String; 4]> = self.0.iter().map(parts).collect();
        for line in lines(&parts, " is not covered") {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Why a source model was not evaluated: which node, and what was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluateError(pub String);

impl EvaluateError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> EvaluateError {
        EvaluateError(message.into())
    }

    /// The same error, with where it happened in front.
    pub fn at(self, place: impl fmt::Display) -> EvaluateError {
        EvaluateError(format!("{place}: {}", self.0))
    }
}
