//! Bodies of requests and responses.

mod coding;
mod frames;

pub(crate) use coding::Coding;
pub(crate) use frames::Frames;
