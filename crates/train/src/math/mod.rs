//! Numbers: what operators share.

pub(crate) mod broadcast;
pub(crate) mod channels;
pub(crate) mod correlate;
pub(crate) mod logarithm;
pub(crate) mod matmul;
pub(crate) mod normalize;
pub(crate) mod picks;
pub(crate) mod pieces;
pub(crate) mod random;
pub(crate) mod resample;
pub(crate) mod vector;
pub(crate) mod view;
