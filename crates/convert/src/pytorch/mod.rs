//! PyTorch: exported programs (`.pt2`), and weights that need an architecture.
//!
//! | module | holds |
//! |---|---|
//! | `graph` | programs as a typed graph: calls of ATen operators |
//! | `weight` | parameters in files, read when they are asked for |
//! | `pickle` | pickles, read without doing what they say |
//! | `weights` | files that hold only weights: state dicts, safetensors |

pub(crate) mod graph;
pub(crate) mod pickle;
pub(crate) mod weight;
pub(crate) mod weights;
