//! The protobuf text format, as far as a `config.pbtxt` needs it: a tree of named values with
//! their lines. What the names mean is [`super::triton`]'s business.
//!
//! Source: the published text format language specification of Protocol Buffers.

mod lexer;
mod parser;

pub(crate) use parser::{Field, Message, Scalar, Value, parse};
