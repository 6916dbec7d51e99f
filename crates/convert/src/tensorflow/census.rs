//! A walk over the raw protobuf that counts before anything is allocated: an empty message takes
//! two bytes in the file and hundreds in memory, so a bound on the file bounds nothing.

use crate::{ConvertError, Limits};

/// The messages of `proto`, as far as they contain others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    SavedModel,
    MetaGraph,
    Graph,
    Library,
    Function,
    OpDef,
    Node,
    /// An entry of a map from names to attributes.
    AttrEntry,
    Attr,
    List,
    NameAttrs,
    Tensor,
    Shape,
    SignatureEntry,
    Signature,
    InfoEntry,
    Info,
    Asset,
    ObjectGraph,
    Object,
    BundleEntry,
    /// Contains no further messages.
    Leaf,
}

/// What is in a length-delimited field.
enum Content {
    /// Bytes that stay bytes, or a field that is skipped.
    Flat,
    /// Numbers back to back, of which each byte may become eight.
    Packed,
    Nested(Message),
}

fn content(parent: Message, field: u32) -> Content {
    use Content::{Flat, Nested, Packed};
    use Message as M;
    match (parent, field) {
        (M::SavedModel, 2) => Nested(M::MetaGraph),
        (M::MetaGraph, 1 | 3) => Nested(M::Leaf),
        (M::MetaGraph, 2) => Nested(M::Graph),
        (M::MetaGraph, 5) => Nested(M::SignatureEntry),
        (M::MetaGraph, 6) => Nested(M::Asset),
        (M::SignatureEntry, 2) => Nested(M::Signature),
        (M::Signature, 1 | 2) => Nested(M::InfoEntry),
        (M::InfoEntry, 2) | (M::Asset, 1) => Nested(M::Info),
        (M::Info, 3) => Nested(M::Shape),
        (M::Graph, 1) | (M::Function, 3) => Nested(M::Node),
        (M::Graph, 2) => Nested(M::Library),
        (M::Graph, 4) => Nested(M::Leaf),
        (M::Library, 1) => Nested(M::Function),
        (M::Function, 1) => Nested(M::OpDef),
        (M::Function, 4) => Nested(M::Leaf),
        (M::OpDef, 2 | 3) => Nested(M::Leaf),
        (M::Node, 5) | (M::NameAttrs, 2) => Nested(M::AttrEntry),
        (M::AttrEntry, 2) => Nested(M::Attr),
        (M::Attr, 1) => Nested(M::List),
        (M::Attr, 7) => Nested(M::Shape),
        (M::Attr, 8) => Nested(M::Tensor),
        (M::Attr, 10) | (M::List, 9) => Nested(M::NameAttrs),
        (M::List, 7) => Nested(M::Shape),
        (M::List, 3..=6) => Packed,
        (M::Tensor, 2) => Nested(M::Shape),
        (M::Tensor, 5..=7 | 10 | 11 | 13 | 16 | 17) => Packed,
        (M::Shape, 2) => Nested(M::Leaf),
        (M::ObjectGraph, 1) => Nested(M::Object),
        (M::Object, 2) => Nested(M::Leaf),
        (M::BundleEntry, 2) => Nested(M::Shape),
        (M::BundleEntry, 7) => Nested(M::Leaf),
        _ => Flat,
    }
}

/// What a message takes in memory: about the largest struct in `proto`, and its place in a map.
const MESSAGE_BYTES: u64 = 600;

/// What a string takes beside its bytes.
const STRING_BYTES: u64 = 32;

/// Decoded messages may take this many times [`Limits::description_bytes`].
const MEMORY_FACTOR: u64 = 8;

/// Refuses what would take more memory than `limits` allow. `format` is for errors.
pub(super) fn check(
    bytes: &[u8],
    kind: Message,
    format: &'static str,
    limits: &Limits,
) -> Result<(), ConvertError> {
    Census { limits, format, nodes: 0, memory: 0 }.message(bytes, kind, 1)
}

struct Census<'a> {
    limits: &'a Limits,
    format: &'static str,
    nodes: usize,
    /// What decoding will take, without the bytes of tensors (which are shared).
    memory: u64,
}

impl Census<'_> {
    fn message(
        &mut self,
        mut rest: &[u8],
        kind: Message,
        depth: usize,
    ) -> Result<(), ConvertError> {
        if depth > self.limits.depth {
            return Err(self.too_large(
                "levels of nesting",
                depth as u64,
                self.limits.depth as u64,
            ));
        }
        while !rest.is_empty() {
            let (key, after) = self.varint(rest)?;
            let field = u32::try_from(key >> 3).unwrap_or(0);
            if field == 0 {
                return Err(self.malformed("a field has no valid number"));
            }
            rest = match key & 7 {
                0 => {
                    self.take(8)?;
                    self.varint(after)?.1
                }
                1 => {
                    self.take(8)?;
                    self.split(after, 8)?.1
                }
                5 => {
                    self.take(4)?;
                    self.split(after, 4)?.1
                }
                2 => {
                    let (length, after) = self.varint(after)?;
                    let (inside, after) = self.split(after, length)?;
                    self.inside(inside, kind, field, depth)?;
                    after
                }
                other => return Err(self.malformed(&format!("wire type {other} is not in use"))),
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
    ) -> Result<(), ConvertError> {
        match content(parent, field) {
            Content::Flat => self.take(STRING_BYTES),
            Content::Packed => self.take(8 * bytes.len() as u64),
            Content::Nested(kind) => {
                if kind == Message::Node {
                    self.nodes += 1;
                    if self.nodes > self.limits.nodes {
                        let (found, limit) = (self.nodes as u64, self.limits.nodes as u64);
                        return Err(self.too_large("nodes", found, limit));
                    }
                }
                self.take(MESSAGE_BYTES)?;
                self.message(bytes, kind, depth + 1)
            }
        }
    }

    fn take(&mut self, bytes: u64) -> Result<(), ConvertError> {
        self.memory += bytes;
        let limit = self.limits.description_bytes.saturating_mul(MEMORY_FACTOR);
        if self.memory > limit {
            let what = "bytes of structure (nodes, names, attributes)";
            return Err(self.too_large(what, self.memory, limit));
        }
        Ok(())
    }

    fn too_large(&self, what: &'static str, found: u64, limit: u64) -> ConvertError {
        ConvertError::TooLarge { place: format!("the {}", self.format), what, found, limit }
    }

    fn malformed(&self, message: &str) -> ConvertError {
        let place = "the protobuf".into();
        ConvertError::Malformed { format: self.format, place, message: message.into() }
    }

    fn split<'a>(
        &self,
        bytes: &'a [u8],
        length: u64,
    ) -> Result<(&'a [u8], &'a [u8]), ConvertError> {
        let found = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        found.ok_or_else(|| {
            self.malformed(&format!(
                "a field of {length} bytes starts {} bytes before the end (is the file truncated?)",
                bytes.len()
            ))
        })
    }

    fn varint<'a>(&self, bytes: &'a [u8]) -> Result<(u64, &'a [u8]), ConvertError> {
        varint(bytes)
            .ok_or_else(|| self.malformed("a number does not end (is the file truncated?)"))
    }
}

/// A number of variable length, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
