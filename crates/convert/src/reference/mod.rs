//! Arrays and plain kernels for the evaluators of the sources.
//!
//! Each source says in its own words what its operators compute; what is common to all of them is
//! here: broadcasting, reductions, products, windows. Written for clarity, fast enough for a real
//! network. Nothing here knows ONNX.
//!
//! | module | holds |
//! |---|---|
//! | `array` | [`Array`]: shape and elements |

mod array;

pub(crate) use array::{Array, Data};
