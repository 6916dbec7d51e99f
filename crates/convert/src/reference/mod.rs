//! Arrays and plain kernels for the evaluators of the sources.
//!
//! Each source says in its own words what its operators compute; what is common to all of them is
//! here: broadcasting, reductions, products, windows. Written for clarity, fast enough for a real
//! network. Nothing here knows ONNX.
//!
//! | module | holds |
//! |---|---|
//! | `array` | [`Array`]: shape and elements |
//! | `layout` | sizes that are checked, strides, axes |
//! | `elementwise` | each element or pair by itself; casts |
//! | `reduce` | many elements become one |
//! | `matmul` | products of matrices |
//! | `shape` | elements are moved |
//! | `index` | elements by their indices |

mod array;
pub(crate) mod elementwise;
pub(crate) mod index;
pub(crate) mod layout;
pub(crate) mod matmul;
pub(crate) mod reduce;
pub(crate) mod shape;

pub(crate) use array::{Array, Data};
