//! What passes make of whole models: less, and the same answers.
//!
//! Models are evaluated before and after by the operators of `modelyard-train`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod affine;
mod constants;
mod fuse;
mod hostile;
mod identities;
mod pads;
mod random;
mod subgraphs;
mod support;
mod transposes;
