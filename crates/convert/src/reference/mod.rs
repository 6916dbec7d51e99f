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
//! | `convolution`, `pool` | windows that walk over images |
//! | `resize` | images in another size |
//! | `activations`, `softmax`, `normalize`, `attention` | layers of networks |
//! | `recurrent` | walks over time |
//! | `fft` | Fourier transforms |

pub(crate) mod activations;
pub(crate) mod array;
pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod elementwise;
pub(crate) mod fft;
pub(crate) mod index;
pub(crate) mod layout;
pub(crate) mod matmul;
pub(crate) mod normalize;
pub(crate) mod pool;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod resize;
pub(crate) mod shape;
pub(crate) mod softmax;

pub(crate) use array::{Array, Data};
