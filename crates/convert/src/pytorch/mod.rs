//! PyTorch: exported programs (`.pt2`).
//!
//! | module | holds |
//! |---|---|
//! | `graph` | programs as a typed graph: calls of ATen operators |
//! | `weight` | parameters in files, read when they are asked for |

pub(crate) mod graph;
pub(crate) mod weight;
