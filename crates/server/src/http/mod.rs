//! Bodies of requests and responses.

mod frames;

pub(crate) use frames::Frames;
