//! The vocabulary of Modelyard: datatypes, shapes, tensors, signatures.
//!
//! No I/O, no async, no clock. Every other crate speaks these types, and the names are those of
//! the Open Inference Protocol.
//!
//! | module | holds |
//! |---|---|
//! | `data_type` | [`DataType`], [`Element`]: what a tensor is made of |
//! | `shape` | [`Shape`]: concrete dimensions with checked products |
//! | `tensor` | [`Tensor`], [`TensorView`]: shape, datatype and little-endian bytes |
//! | `buffer` | [`AlignedBuffer`]: where batches are gathered |
//! | `rope` | [`Rope`]: bytes as they came from the wire, in pieces |
//! | `strings` | the layout of `BYTES` tensors |
//! | `signature` | [`Signature`]: what a model takes and gives |

mod buffer;
mod data_type;
mod rope;
mod shape;
mod signature;
pub mod strings;
mod tensor;

pub use buffer::AlignedBuffer;
pub use data_type::{DataType, Element, UnknownDataType};
pub use rope::Rope;
pub use shape::Shape;
pub use signature::{Dim, Signature, TensorSpec};
pub use tensor::{Tensor, TensorError, TensorView};
