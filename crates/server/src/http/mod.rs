//! HTTP without what it is used for: bodies, codings, refusals.
//!
//! | module | holds |
//! |---|---|
//! | `body` | request bodies, in the pieces they came in, bounded in size and time |
//! | `coding` | gzip and deflate in both directions, bounded |
//! | `inbound` | a request, and what becomes of a body that nobody reads |
//! | `frames` | response bodies made of pieces |
//! | `refusal` | answers that are errors |

mod body;
mod coding;
mod frames;
mod inbound;
mod refusal;

pub(crate) use body::{Bodies, Body, Hold, read};
pub(crate) use coding::{Coding, accepted};
pub(crate) use frames::Frames;
pub(crate) use inbound::Inbound;
pub(crate) use refusal::Refusal;

use http::{HeaderMap, HeaderValue};
use modelyard_serving::Sticky;

/// Media types that are spoken.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// JSON and then tensors, or tensors alone.
pub(crate) const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Looks up the header that says who a request is from.
pub(crate) fn value_in<'a>(headers: &'a HeaderMap) -> impl FnOnce(&Sticky) -> Option<&'a [u8]> {
    move |sticky| match sticky {
        Sticky::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
        Sticky::Parameter(_) => None,
    }
}
