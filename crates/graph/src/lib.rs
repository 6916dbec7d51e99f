//! ONNX as a typed graph: read, verify, describe, write.
//!
//! A file from anybody goes in; a [`Model`] that holds what it says comes out, or a [`ReadError`]
//! that names what is wrong. Nothing is allocated on the word of the file alone. No I/O but in
//! [`mod@file`].
//!
//! | module | holds |
//! |---|---|
//! | `proto` | the wire form: the messages of `onnx.proto` |
//! | `census` | counts what is in a file before any of it is allocated |
//! | `decode`, `decode_attribute` | from the wire form to the model |
//! | `model`, `node`, `value`, `constant`, `element_type` | the model |
//! | `verify` | what must hold: names, order, types, sizes |
//! | `encode`, `encode_attribute` | from the model back to the wire form |
//! | `stream` | the same without a copy of the weights |
//! | `builder` | models made in code |
//! | `infer`, [`summary`] | shapes, FLOPs, memory |
//! | `inline` | functions of the model put in where they are called |
//! | [`opset`] | the same model in another version of ONNX's operators |
//! | [`batch`] | a batch of one made a batch of any size |
//! | [`weights`] | weights stored in fewer bits |
//! | `names`, `obstacle` | what the two need: names not yet taken, what is in the way |
//! | [`rewrite`] | passes that make a graph simpler and keep what it computes |
//! | [`mod@file`] | models and external data on disk |

pub mod batch;
mod builder;
mod census;
mod constant;
mod decode;
mod decode_attribute;
mod element_type;
mod encode;
mod encode_attribute;
mod error;
pub mod file;
mod infer;
mod inline;
mod limits;
mod model;
mod names;
mod node;
pub mod obstacle;
pub mod opset;
mod proto;
pub mod rewrite;
mod stream;
pub mod summary;
mod value;
mod verify;
pub mod weights;

pub use builder::GraphBuilder;
pub use constant::{Constant, ConstantData, ExternalData, SparseConstant};
pub use element_type::ElementType;
pub use error::{Problem, ReadError, SignatureError};
pub use infer::{CHANNELS_LAST, Kind, Sizes};
pub use inline::{inline, take_branches};
pub use limits::Limits;
pub use model::{Function, Graph, Model, Nodes, Quantization};
pub use names::Names;
pub use node::{Attribute, AttributeValue, Node};
pub use obstacle::{Obstacle, Unadaptable};
pub use value::{Value, ValueType};
