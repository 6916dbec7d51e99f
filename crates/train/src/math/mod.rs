//! Numbers: what operators share.

pub(crate) mod broadcast;
pub(crate) mod logarithm;
pub(crate) mod matmul;
pub(crate) mod picks;
pub(crate) mod random;
pub(crate) mod vector;
pub(crate) mod view;
