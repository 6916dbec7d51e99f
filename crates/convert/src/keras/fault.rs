//! What is wrong with a layer.

use crate::keras::FORMAT;
use crate::{ConvertError, Missing};

/// Why a layer was not read or converted.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It does something that has no conversion. Others are looked at all the same.
    Unsupported {
        /// What of it is not covered.
        reason: String,
        /// The nearest way out.
        way_out: String,
    },
    /// What the file says of it makes no sense.
    Malformed(String),
    /// Its weights could not be read.
    Convert(ConvertError),
    /// Something inside it was refused, which is noted already.
    Refused,
}

impl Fault {
    /// Something that has no conversion, and the nearest way out.
    pub(crate) fn unsupported(reason: impl Into<String>, way_out: impl Into<String>) -> Fault {
        Fault::Unsupported { reason: reason.into(), way_out: way_out.into() }
    }

    /// Something that makes no sense: what was expected and what was found.
    pub(crate) fn malformed(message: impl Into<String>) -> Fault {
        Fault::Malformed(message.into())
    }

    /// The error of a fault that ends the conversion; `place` is the layer.
    pub(crate) fn into_error(self, place: &str) -> ConvertError {
        match self {
            Fault::Malformed(message) => ConvertError::Malformed {
                format: FORMAT,
                place: format!("layer '{place}'"),
                message,
            },
            Fault::Convert(error) => error,
            Fault::Unsupported { reason, way_out } => missing(place, reason, way_out),
            Fault::Refused => missing(place, "something inside it".into(), String::new()),
        }
    }
}

fn missing(place: &str, reason: String, way_out: String) -> ConvertError {
    let (operator, place) = ("layer".into(), place.into());
    ConvertError::Unsupported(vec![Missing { operator, place, reason, way_out }])
}

impl From<ConvertError> for Fault {
    fn from(error: ConvertError) -> Fault {
        Fault::Convert(error)
    }
}
