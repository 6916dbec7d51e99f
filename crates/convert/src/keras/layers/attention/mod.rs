//! Attention.
//!
//! | module | holds |
//! |---|---|
//! | `masks` | what queries may look at |
//! | `heads` | `MultiHeadAttention` and `GroupQueryAttention` |
//! | `simple` | `Attention` and `AdditiveAttention` |

pub(crate) mod heads;
mod masks;
pub(crate) mod simple;
