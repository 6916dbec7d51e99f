//! Why a model was not read.

use std::fmt;
use std::path::PathBuf;

/// Why a model was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
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
    /// The model is larger than allowed. Raise the limit if the file is trusted.
    #[error("the model has {found} {what}, at most {limit} are allowed")]
    TooLarge {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How much of it was seen (counting stops at the limit).
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not an ONNX file.
    #[error(
        "the bytes are not an ONNX model: {0}; expected the protobuf form that exporters write as .onnx"
    )]
    Malformed(String),
    /// It is an ONNX file, with mistakes in it.
    #[error("the model is not valid: {}", Listed(.0))]
    Invalid(Vec<Problem>),
}

/// One mistake in a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `node 'conv1' (Conv)` or `initializer 'w'`.
    pub place: String,
    /// What is wrong: expected and found.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl From<Problem> for ReadError {
    fn from(problem: Problem) -> Self {
        ReadError::Invalid(vec![problem])
    }
}

/// The first few problems in one line.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (index, problem) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Why a model cannot be served: the protocol carries dense tensors of its own datatypes only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{place} is of type {found}, which the Open Inference Protocol cannot carry; expected a tensor \
     of BOOL, UINT8..UINT64, INT8..INT64, FP16, BF16, FP32, FP64 or BYTES{hint}"
)]
pub struct SignatureError {
    /// `input 'x'` or `output 'y'`.
    pub place: String,
    /// The type it has.
    pub found: String,
    /// What helps, with a leading separator; empty when nothing is known.
    pub hint: &'static str,
}
