//! A `ModelInferRequest` in place: what it says, borrowed from the frame, and its tensors as
//! they came.

use bytes::Bytes;
use modelyard_serving::InferError;
use modelyard_tensor::Rope;
use smallvec::SmallVec;

use super::parameters::Parameter;
use super::wire::{self, Fields, Value, malformed};

/// Most inputs, outputs, raw contents, or parameters in one list. No model has as many; a
/// message of empty entries would otherwise cost far more memory than it has bytes.
const MAX_ENTRIES: usize = 1024;
/// Most dimensions of one tensor.
const MAX_RANK: usize = 64;

/// A message taken apart: the raw contents as they came, everything else in one piece.
#[derive(Debug)]
pub(super) struct Message {
    head: Bytes,
    raw: SmallVec<[Rope; 2]>,
}

/// What a message says besides its raw contents.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    pub(super) model_name: &'a str,
    pub(super) model_version: &'a str,
    pub(super) id: &'a str,
    pub(super) parameters: SmallVec<[Parameter<'a>; 2]>,
    pub(super) inputs: SmallVec<[InputHead<'a>; 2]>,
    pub(super) outputs: SmallVec<[OutputHead<'a>; 2]>,
}

/// One input tensor.
#[derive(Debug, Default)]
pub(super) struct InputHead<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: &'a str,
    pub(super) shape: SmallVec<[i64; 6]>,
    pub(super) parameters: SmallVec<[Parameter<'a>; 1]>,
    /// `InferTensorContents`, in pieces that stand for their concatenation.
    pub(super) contents: SmallVec<[&'a [u8]; 1]>,
}

/// One output that is asked for.
#[derive(Debug, Default)]
pub(super) struct OutputHead<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: SmallVec<[Parameter<'a>; 1]>,
}

impl Message {
    /// Takes a message apart without copying its raw contents. The rest is joined when it came
    /// in pieces.
    pub(super) fn split(mut message: Rope) -> Result<Self, InferError> {
        const RAW_INPUT_CONTENTS: u64 = 7 << 3 | 2;
        let mut head = Rope::default();
        let mut raw = SmallVec::new();
        // The end of the fields before the next raw contents.
        let mut end = Place::default();
        while end.position < message.len() {
            let Field { key, head_len, len } = Field::peek(&message, end)?;
            if key != RAW_INPUT_CONTENTS {
                end.advance(&message, len);
                continue;
            }
            head = append(head, take(&mut message, end.position)?);
            take(&mut message, head_len)?;
            end = Place::default();
            bounded_push(&mut raw, take(&mut message, len - head_len)?, "raw_input_contents")?;
        }
        head = append(head, take(&mut message, end.position)?);
        Ok(Message { head: head.into_bytes(), raw })
    }

    /// Reads everything but the tensors.
    pub(super) fn head(&self) -> Result<Head<'_>, InferError> {
        Head::read(&self.head)
    }

    /// The raw contents, in order.
    pub(super) fn raw(&self) -> &[Rope] {
        &self.raw
    }

    /// Bytes of this message that `part` of its head are, shared.
    pub(super) fn share(&self, part: &[u8]) -> Bytes {
        self.head.slice_ref(part)
    }
}

/// Where a field of a message in pieces begins and ends.
struct Field {
    key: u64,
    /// Bytes before the value.
    head_len: usize,
    /// Bytes of all.
    len: usize,
}

impl Field {
    /// Looks at the field at `place`.
    fn peek(message: &Rope, place: Place) -> Result<Self, InferError> {
        // A key and a length take ten bytes each at most.
        let mut copy = [0; 20];
        let ahead = place.peek(message, &mut copy);
        let (key, key_len) = wire::varint(ahead)?;
        let rest = &ahead[key_len..];
        let (head_len, value_len) = match key & 7 {
            0 => (key_len, wire::varint(rest)?.1),
            1 => (key_len, 8),
            2 => {
                let (len, len_len) = wire::varint(rest)?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                (key_len + len_len, len)
            }
            5 => (key_len, 4),
            _ => return Err(malformed("a field has an unknown wire type")),
        };
        let left = message.len() - place.position;
        match head_len.checked_add(value_len) {
            Some(len) if len <= left => Ok(Field { key, head_len, len }),
            _ => Err(malformed("it is cut off")),
        }
    }
}

/// A place in a message in pieces. It knows its chunk: looked for from the first one each time,
/// a message of many fields in many chunks would take minutes.
#[derive(Clone, Copy, Default)]
struct Place {
    position: usize,
    chunk: usize,
    /// In that chunk.
    offset: usize,
}

impl Place {
    fn advance(&mut self, message: &Rope, bytes: usize) {
        self.position += bytes;
        self.offset += bytes;
        while let Some(chunk) = message.chunks().get(self.chunk)
            && self.offset >= chunk.len()
        {
            self.offset -= chunk.len();
            self.chunk += 1;
        }
    }

    /// At most 20 bytes from here on: in place when one chunk has them, else copied.
    fn peek<'a>(self, message: &'a Rope, copy: &'a mut [u8; 20]) -> &'a [u8] {
        let mut copied = 0;
        let mut offset = self.offset;
        for chunk in &message.chunks()[self.chunk..] {
            let ahead = &chunk[offset..];
            offset = 0;
            if copied == 0 && ahead.len() >= copy.len() {
                return &ahead[..copy.len()];
            }
            let count = ahead.len().min(copy.len() - copied);
            copy[copied..copied + count].copy_from_slice(&ahead[..count]);
            copied += count;
            if copied == copy.len() {
                break;
            }
        }
        &copy[..copied]
    }
}

fn take(message: &mut Rope, len: usize) -> Result<Rope, InferError> {
    message.split_to(len).ok_or_else(|| malformed("it is cut off"))
}

fn append(mut head: Rope, more: Rope) -> Rope {
    if head.is_empty() {
        return more;
    }
    more.chunks().iter().for_each(|chunk| head.push(chunk.clone()));
    head
}

fn bounded_push<A: smallvec::Array>(
    list: &mut SmallVec<A>,
    item: A::Item,
    what: &str,
) -> Result<(), InferError> {
    if list.len() == MAX_ENTRIES {
        return Err(InferError::invalid(format!(
            "the request has more than {MAX_ENTRIES} entries of {what}"
        )));
    }
    list.push(item);
    Ok(())
}

impl<'a> Head<'a> {
    fn read(message: &'a [u8]) -> Result<Self, InferError> {
        let mut head = Head::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => head.model_name = value.text()?,
                2 => head.model_version = value.text()?,
                3 => head.id = value.text()?,
                4 => {
                    let parameter = Parameter::read(value.block()?)?;
                    bounded_push(&mut head.parameters, parameter, "parameters")?;
                }
                5 => bounded_push(&mut head.inputs, InputHead::read(value.block()?)?, "inputs")?,
                6 => bounded_push(&mut head.outputs, OutputHead::read(value.block()?)?, "outputs")?,
                _ => {}
            }
        }
        Ok(head)
    }
}

impl<'a> InputHead<'a> {
    fn read(message: &'a [u8]) -> Result<Self, InferError> {
        let mut input = InputHead::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => input.name = value.text()?,
                2 => input.datatype = value.text()?,
                3 => input.read_dims(value)?,
                4 => {
                    let parameter = Parameter::read(value.block()?)?;
                    bounded_push(&mut input.parameters, parameter, "input parameters")?;
                }
                5 => bounded_push(&mut input.contents, value.block()?, "contents")?,
                _ => {}
            }
        }
        Ok(input)
    }

    /// Dimensions, packed or one by one.
    fn read_dims(&mut self, value: Value<'a>) -> Result<(), InferError> {
        let mut push = |dim: u64| {
            if self.shape.len() == MAX_RANK {
                return Err(InferError::invalid(format!(
                    "an input has more than {MAX_RANK} dimensions"
                )));
            }
            self.shape.push(dim.cast_signed());
            Ok(())
        };
        match value {
            Value::Varint(dim) => push(dim),
            Value::Block(dims) => wire::packed(dims).try_for_each(|dim| push(dim?)),
            _ => Err(malformed("a shape is no list of integers")),
        }
    }
}

impl<'a> OutputHead<'a> {
    fn read(message: &'a [u8]) -> Result<Self, InferError> {
        let mut output = OutputHead::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => output.name = value.text()?,
                2 => {
                    let parameter = Parameter::read(value.block()?)?;
                    bounded_push(&mut output.parameters, parameter, "output parameters")?;
                }
                _ => {}
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::grpc::parameters::ParameterValue;
    use crate::grpc::proto::infer_parameter::ParameterChoice;
    use crate::grpc::proto::{InferParameter, InferTensorContents, ModelInferRequest};
    use crate::grpc::testing::{any_request, rope};

    /// Checks what was read in place against what prost decodes.
    fn check(head: &Head<'_>, raw: &[Rope], request: &ModelInferRequest) {
        assert_eq!(head.model_name, request.model_name);
        assert_eq!(head.model_version, request.model_version);
        assert_eq!(head.id, request.id);
        check_parameters(&head.parameters, &request.parameters);
        assert_eq!(head.inputs.len(), request.inputs.len());
        for (ours, theirs) in head.inputs.iter().zip(&request.inputs) {
            assert_eq!(ours.name, theirs.name);
            assert_eq!(ours.datatype, theirs.datatype);
            assert_eq!(ours.shape.as_slice(), theirs.shape);
            check_parameters(&ours.parameters, &theirs.parameters);
            let contents: Vec<u8> = ours.contents.concat();
            let theirs = theirs.contents.clone().unwrap_or_default();
            assert_eq!(InferTensorContents::decode(contents.as_slice()).unwrap(), theirs);
        }
        let outputs: Vec<&str> = head.outputs.iter().map(|output| output.name).collect();
        assert!(outputs.iter().eq(request.outputs.iter().map(|output| &output.name)));
        let raw: Vec<Bytes> = raw.iter().map(|rope| rope.clone().into_bytes()).collect();
        assert_eq!(raw, request.raw_input_contents);
    }

    fn check_parameters(
        ours: &[Parameter<'_>],
        theirs: &std::collections::BTreeMap<String, InferParameter>,
    ) {
        for (name, theirs) in theirs {
            // Of entries with the same name the last counts.
            let ours = ours.iter().rfind(|parameter| parameter.name == name).unwrap();
            let expected = match &theirs.parameter_choice {
                Some(ParameterChoice::BoolParam(value)) => ParameterValue::Bool(*value),
                Some(ParameterChoice::Int64Param(value)) => ParameterValue::Int64(*value),
                Some(ParameterChoice::StringParam(value)) => ParameterValue::String(value),
                Some(ParameterChoice::DoubleParam(value)) => ParameterValue::Double(*value),
                Some(ParameterChoice::Uint64Param(value)) => ParameterValue::Uint64(*value),
                None => ParameterValue::None,
            };
            let nans = matches!(
                (ours.value, expected),
                (ParameterValue::Double(a), ParameterValue::Double(b)) if a.is_nan() && b.is_nan()
            );
            assert!(nans || ours.value == expected, "{ours:?} is not {expected:?}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_prost_writes(request in any_request(), chunk in 1usize..400) {
            let message = Message::split(rope(&request.encode_to_vec(), chunk)).unwrap();
            check(&message.head().unwrap(), message.raw(), &request);
        }

        /// Fields out of order, cut off, overwritten: never a panic, and where both accept the
        /// message they understand the same.
        #[test]
        fn hostile_messages_are_refused_or_understood_as_prost_does(
            request in any_request(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            chunk in 1usize..40,
        ) {
            let mut bytes = request.encode_to_vec();
            bytes.push(0);
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len()));
            if let Ok(message) = Message::split(rope(&bytes, chunk))
                && let Ok(head) = message.head()
                && let Ok(request) = ModelInferRequest::decode(bytes.as_slice())
            {
                check(&head, message.raw(), &request);
            }
        }
    }

    #[test]
    fn raw_contents_are_not_copied() {
        let request = ModelInferRequest {
            model_name: "m".into(),
            raw_input_contents: vec![vec![7; 100].into()],
            ..Default::default()
        };
        let bytes = Bytes::from(request.encode_to_vec());
        let message = Message::split(bytes.clone().into()).unwrap();
        let raw = &message.raw()[0].chunks()[0];
        assert_eq!(raw.as_ptr(), bytes[bytes.len() - 100..].as_ptr());
    }

    #[test]
    fn floods_of_empty_entries_are_refused() {
        for field in [5 << 3 | 2, 6 << 3 | 2, 7 << 3 | 2, 4 << 3 | 2] {
            let flood = [field, 0].repeat(MAX_ENTRIES + 1);
            let refused = Message::split(Bytes::from(flood).into())
                .and_then(|message| message.head().map(|_| ()));
            assert!(refused.is_err(), "field key {field}");
        }
    }

    /// A message of many fields takes about the same time in many chunks as in one, not that
    /// times the chunks.
    #[test]
    fn many_fields_in_many_chunks_are_read_in_one_go() {
        let fields = [15 << 3, 0].repeat(100_000);
        let time = |chunk| {
            let once = |_| {
                let message = rope(&fields, chunk);
                let start = std::time::Instant::now();
                Message::split(message).unwrap();
                start.elapsed()
            };
            // The best of several: others may use the machine.
            (0..5).map(once).min().unwrap()
        };
        let (one, many) = (time(fields.len()), time(16));
        assert!(many < 100 * one, "{many:?} in many chunks, {one:?} in one");
    }
}
