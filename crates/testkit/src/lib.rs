//! Tiny models for tests, made in code: no files, no network, the same bytes every time.
//!
//! | module | holds |
//! |---|---|
//! | [`models`] | models that every engine loads |
//! | [`broken`] | files that must be refused |
//! | [`external`] | a model whose weights are in another file |
//! | [`weights`] | numbers that look random and never change |

pub mod broken;
pub mod external;
pub mod models;
pub mod weights;
