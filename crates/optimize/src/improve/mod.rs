//! Models that bear small integers better, and integers that stand for weights better.
//!
//! | module | holds |
//! |---|---|
//! | `equalize` | ranges of channels made alike across layers |
//! | `absorb` | large biases moved into the next layer |
//! | `smooth` | outliers of activations moved into weights |
//! | [`bias`] | biases that make up for what rounding does to the mean |
//! | [`rounding`] | rounding of weights that is learned |
//! | `round` | the learning itself |
//! | `edit` | a model whose weights and nodes are being changed |
//! | `pairs` | layers between which ranges can be moved |

mod absorb;
pub mod bias;
mod edit;
mod equalize;
mod pairs;
mod round;
pub mod rounding;
mod smooth;

#[cfg(test)]
mod tests;

pub use absorb::{absorb, absorbable};
pub use equalize::{Equalized, can_equalize, equalize};
pub use smooth::{Alpha, Group, Smoothed, smooth, smoothable};
