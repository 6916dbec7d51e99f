//! Numbers: what operators share.

pub(crate) mod broadcast;
pub(crate) mod correlate;
pub(crate) mod matmul;
pub(crate) mod random;
pub(crate) mod resample;
pub(crate) mod vector;
