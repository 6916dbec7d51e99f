//! Smaller and faster models inside an accuracy budget.
//!
//! Everything here is a function from a model (and what was measured of it) to a model and what is to be
//! said about it. Engines, files and clocks belong to the caller.
//!
//! | module | holds |
//! |---|---|
//! | `affine` | [`Grid`], [`Affine`]: the scheme of quantization |
//! | [`calibrate`] | ranges of activations, from examples |
//! | [`prune`] | models with fewer channels, or fewer weights that are not zero |
//! | [`merge`] | several models as one |
//! | [`improve`] | models that bear small integers better |
//! | [`quantize`] | models of small integers |
//! | [`search`] | which models are tried, and which is the best |
//! | [`statistics`] | how sure a difference between two models is |

mod affine;
pub mod calibrate;
mod error;
mod floats;
pub mod improve;
mod links;
pub mod merge;
pub mod prune;
pub mod quantize;
pub mod search;
pub mod statistics;

pub use affine::{Affine, Grid};
pub use error::OptimizeError;
pub use floats::{Noise, sqnr};
