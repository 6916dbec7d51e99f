//! ONNX, GraphDef and SavedModel are all protobuf without a magic number: told apart by the fields
//! that they begin with.

/// A protobuf message that holds a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ModelProto`
    Onnx,
    /// `tensorflow.GraphDef`
    GraphDef,
    /// `tensorflow.SavedModel`
    SavedModel,
}

/// Which message `head`, the first bytes of a file, begins.
pub(super) fn recognize(head: &[u8]) -> Option<Kind> {
    let mut fields = Fields { bytes: head };
    let first = fields.next()?;
    match (first.number, first.value) {
        // SavedModel: schema version, then meta graphs. ONNX: IR version, then the producer (2),
        // opsets (8) or the graph (7).
        (1, Wire::Varint(version)) => match fields.next()? {
            Field { number: 2, value: Wire::Bytes(inner, length) } => {
                // A meta graph begins with a message too; a producer is a short name.
                let is_text = length < 256 && inner.iter().all(|byte| (0x20..0x7f).contains(byte));
                let is_meta_graph = version == 1 && !is_text;
                Some(if is_meta_graph { Kind::SavedModel } else { Kind::Onnx })
            }
            Field { number: 3..=8 | 14 | 20 | 25, .. } => Some(Kind::Onnx),
            _ => None,
        },
        // GraphDef: nodes, each with a name (1) and an operator (2).
        (1, Wire::Bytes(inner, _)) => {
            let mut node = Fields { bytes: inner };
            let is_text = |field: Option<Field<'_>>, wanted: u64| {
                matches!(field, Some(Field { number, value: Wire::Bytes(text, _) })
                    if number == wanted && !text.is_empty() && std::str::from_utf8(text).is_ok())
            };
            (is_text(node.next(), 1) && is_text(node.next(), 2)).then_some(Kind::GraphDef)
        }
        // A SavedModel whose version is left out is of version 0; ONNX may begin with its graph or
        // opsets where the writer does not sort fields.
        (7 | 8, Wire::Bytes(..)) => Some(Kind::Onnx),
        _ => None,
    }
}

/// A field of a message.
struct Field<'a> {
    number: u64,
    value: Wire<'a>,
}

enum Wire<'a> {
    Varint(u64),
    /// What is in the head of these bytes, and how long they are.
    Bytes(&'a [u8], u64),
    Other,
}

/// The fields of a message of which only the beginning may be there.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, count: u64) -> &'a [u8] {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.skip(length), length)
            }
            1 => {
                self.skip(8);
                Wire::Other
            }
            5 => {
                self.skip(4);
                Wire::Other
            }
            _ => return None,
        };
        Some(Field { number: tag >> 3, value })
    }
}
