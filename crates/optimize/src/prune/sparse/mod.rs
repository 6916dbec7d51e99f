//! Single weights that are zero.
//!
//! Engines for processors gain no speed by this: a zero is multiplied like any other number. What gets
//! smaller is a compressed file.
//!
//! | module | holds |
//! |---|---|
//! | `masks` | [`Masks`]: which weights are zero |
//! | `schedule` | [`Cubic`]: how many are, in the course of a training |

mod masks;
mod schedule;

pub use masks::{Masks, NofM, Scope, Sparsity};
pub use schedule::Cubic;
