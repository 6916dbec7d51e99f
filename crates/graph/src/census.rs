//! A walk over the raw protobuf that counts before anything is allocated.
//!
//! An empty message takes two bytes in the file and hundreds in memory, so a bound on the file
//! bounds nothing. The walk knows which fields hold messages, follows them to a bounded depth
//! and adds up what they will take against [`Limits`]. It allocates nothing.

use crate::{Limits, ReadError};

/// The messages of `onnx.proto`, as far as they contain others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Type,
    TensorType,
    ElementType,
    MapType,
    Shape,
    Function,
    TrainingInfo,
    Annotation,
    /// Contains no further messages.
    Leaf,
}

/// What is in a length-delimited field.
enum Content {
    /// Bytes that stay bytes (shared or copied one to one), or a field we skip.
    Flat,
    /// Numbers back to back, of which each byte may become eight.
    Packed,
    /// A message.
    Nested(Message),
}

fn content(parent: Message, field: u32) -> Content {
    use Content::{Flat, Nested, Packed};
    use Message as M;
    match (parent, field) {
        (M::Model, 7) => Nested(M::Graph),
        (M::Model, 8 | 14) => Nested(M::Leaf),
        (M::Model, 20) => Nested(M::TrainingInfo),
        (M::Model, 25) => Nested(M::Function),
        (M::Graph, 14) => Nested(M::Annotation),
        (M::Graph, 16) | (M::Function, 9 | 14) => Nested(M::Leaf),
        (M::Graph, 1) | (M::Function, 7) => Nested(M::Node),
        (M::Graph, 5) => Nested(M::Tensor),
        (M::Graph, 11..=13) | (M::Function, 12) => Nested(M::ValueInfo),
        (M::Graph, 15) => Nested(M::SparseTensor),
        (M::Node, 5) | (M::Function, 11) => Nested(M::Attribute),
        (M::Node, 9) => Nested(M::Leaf),
        (M::Attribute, 5 | 10) => Nested(M::Tensor),
        (M::Attribute, 6 | 11) => Nested(M::Graph),
        (M::Attribute, 14 | 15) => Nested(M::Type),
        (M::Attribute, 22 | 23) => Nested(M::SparseTensor),
        (M::Attribute, 8) | (M::Tensor, 1 | 5 | 7 | 11) | (M::SparseTensor, 3) => Packed,
        (M::Tensor, 3 | 13) => Nested(M::Leaf),
        (M::SparseTensor, 1 | 2) => Nested(M::Tensor),
        (M::ValueInfo, 2) => Nested(M::Type),
        (M::Type, 1 | 8) => Nested(M::TensorType),
        (M::Type, 4 | 9) => Nested(M::ElementType),
        (M::Type, 5) => Nested(M::MapType),
        (M::Type, 7) => Nested(M::Leaf),
        (M::TensorType, 2) => Nested(M::Shape),
        (M::ElementType, 1) | (M::MapType, 2) => Nested(M::Type),
        (M::Shape, 1) => Nested(M::Leaf),
        (M::TrainingInfo, 1 | 2) => Nested(M::Graph),
        (M::TrainingInfo, 3 | 4) => Nested(M::Leaf),
        (M::Annotation, 2) => Nested(M::Leaf),
        _ => Flat,
    }
}

/// What a message takes in memory: the largest struct in `proto`.
const MESSAGE_BYTES: u64 = 400;

/// What a string takes beside its bytes.
const STRING_BYTES: u64 = 32;

/// Refuses what would take more memory than `limits` allow.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
    let length = bytes.len() as u64;
    if length > limits.file_bytes {
        let (what, limit) = ("bytes", limits.file_bytes);
        return Err(ReadError::TooLarge { what, found: length, limit });
    }
    if bytes.is_empty() {
        return Err(ReadError::Malformed("the file is empty".into()));
    }
    Census { limits, nodes: 0, memory: 0 }.message(bytes, Message::Model, 1)
}

struct Census<'a> {
    limits: &'a Limits,
    nodes: usize,
    /// What decoding will take, without the bytes of tensors (which are shared).
    memory: u64,
}

impl Census<'_> {
    fn message(&mut self, mut rest: &[u8], kind: Message, depth: usize) -> Result<(), ReadError> {
        if depth > self.limits.depth {
            return Err(too_large("levels of nesting", depth, self.limits.depth));
        }
        while !rest.is_empty() {
            let (key, after) = varint(rest)?;
            let field = u32::try_from(key >> 3).unwrap_or(0);
            if field == 0 {
                return Err(malformed("a field has no valid number"));
            }
            rest = match key & 7 {
                0 => {
                    self.take(8)?;
                    varint(after)?.1
                }
                1 => {
                    self.take(8)?;
                    split(after, 8)?.1
                }
                5 => {
                    self.take(4)?;
                    split(after, 4)?.1
                }
                2 => {
                    let (length, after) = varint(after)?;
                    let (inside, after) = split(after, length)?;
                    self.inside(inside, kind, field, depth)?;
                    after
                }
                // Groups went out of use before ONNX came up.
                other => return Err(malformed(&format!("wire type {other} is not in use"))),
            };
        }
        Ok(())
    }

    fn inside(
        &mut self,
        bytes: &[u8],
        parent: Message,
        field: u32,
        depth: usize,
    ) -> Result<(), ReadError> {
        match content(parent, field) {
            Content::Flat => self.take(STRING_BYTES),
            Content::Packed => self.take(8 * bytes.len() as u64),
            Content::Nested(kind) => {
                if kind == Message::Node {
                    self.nodes += 1;
                    if self.nodes > self.limits.nodes {
                        return Err(too_large("nodes", self.nodes, self.limits.nodes));
                    }
                }
                self.take(MESSAGE_BYTES)?;
                self.message(bytes, kind, depth + 1)
            }
        }
    }

    fn take(&mut self, bytes: u64) -> Result<(), ReadError> {
        self.memory += bytes;
        let limit = self.limits.structure_bytes;
        if self.memory > limit {
            let what = "bytes of structure (nodes, names, attributes)";
            return Err(ReadError::TooLarge { what, found: self.memory, limit });
        }
        Ok(())
    }
}

fn too_large(what: &'static str, found: usize, limit: usize) -> ReadError {
    ReadError::TooLarge { what, found: found as u64, limit: limit as u64 }
}

fn malformed(what: &str) -> ReadError {
    ReadError::Malformed(what.into())
}

fn split(bytes: &[u8], length: u64) -> Result<(&[u8], &[u8]), ReadError> {
    usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)).ok_or_else(
        || {
            malformed(&format!(
                "a field of {length} bytes starts {} bytes before the end (is the file truncated?)",
                bytes.len()
            ))
        },
    )
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), ReadError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(malformed("a number does not end (is the file truncated?)"))
}
