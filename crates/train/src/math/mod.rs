//! Numbers: what operators share.

pub(crate) mod broadcast;
pub(crate) mod channels;
pub(crate) mod matmul;
pub(crate) mod normalize;
pub(crate) mod pieces;
pub(crate) mod random;
pub(crate) mod vector;
