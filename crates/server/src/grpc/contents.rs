//! Typed tensor contents: elements in protobuf fields instead of raw bytes.
//!
//! Converted once, into the bytes that the core takes; packed floats already are those bytes and
//! are shared. Small integers travel in wider fields and are checked to fit.

use bytes::Bytes;
use modelyard_serving::InferError;
use modelyard_tensor::{DataType, Rope, strings};

use super::message::{InputHead, Message};
use super::wire::{self, Fields, Value, malformed};

/// The fields of `InferTensorContents`, by number less one.
const FIELDS: [&str; 8] = [
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
];

/// The bytes of an input whose elements lie in typed contents; `elements` by its shape.
pub(super) fn bytes(
    message: &Message,
    input: &InputHead<'_>,
    data_type: DataType,
    elements: usize,
) -> Result<Rope, InferError> {
    let reader = Reader { input, data_type, field: field(input, data_type)?, elements };
    if let Some(packed) = reader.packed_floats()? {
        return Ok(message.share(packed).into());
    }
    reader.check_plausible()?;
    let data = match data_type {
        DataType::Bool => reader.integers(|value| Some([u8::from(value != 0)])),
        DataType::Int8 => {
            reader.integers(|value| i8::try_from(int32(value)).ok().map(i8::to_le_bytes))
        }
        DataType::Int16 => {
            reader.integers(|value| i16::try_from(int32(value)).ok().map(i16::to_le_bytes))
        }
        DataType::Int32 => reader.integers(|value| Some(int32(value).to_le_bytes())),
        DataType::Int64 | DataType::Uint64 => reader.integers(|value| Some(value.to_le_bytes())),
        DataType::Uint8 => {
            reader.integers(|value| u8::try_from(uint32(value)).ok().map(u8::to_le_bytes))
        }
        DataType::Uint16 => {
            reader.integers(|value| u16::try_from(uint32(value)).ok().map(u16::to_le_bytes))
        }
        DataType::Uint32 => reader.integers(|value| Some(uint32(value).to_le_bytes())),
        DataType::Fp32 => reader.floats(|value| match value {
            Value::Fixed32(bytes) => Some(bytes),
            _ => None,
        }),
        DataType::Fp64 => reader.floats(|value| match value {
            Value::Fixed64(bytes) => Some(bytes),
            _ => None,
        }),
        DataType::Bytes => reader.strings(),
        DataType::Fp16 | DataType::Bf16 => Err(no_typed_form(input, data_type)),
    }?;
    Ok(Bytes::from(data).into())
}

/// What an `int32` field's integer says: protobuf cuts it to 32 bits.
fn int32(value: u64) -> i32 {
    value as i32
}

/// What a `uint32` field's integer says: protobuf cuts it to 32 bits.
fn uint32(value: u64) -> u32 {
    value as u32
}

/// The number of the one field that holds elements of this datatype.
fn field(input: &InputHead<'_>, data_type: DataType) -> Result<u32, InferError> {
    Ok(match data_type {
        DataType::Bool => 1,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Uint8 | DataType::Uint16 | DataType::Uint32 => 4,
        DataType::Uint64 => 5,
        DataType::Fp32 => 6,
        DataType::Fp64 => 7,
        DataType::Bytes => 8,
        DataType::Fp16 | DataType::Bf16 => return Err(no_typed_form(input, data_type)),
    })
}

fn no_typed_form(input: &InputHead<'_>, data_type: DataType) -> InferError {
    InferError::invalid(format!(
        "input '{}' of datatype {data_type} has typed contents, expected raw_input_contents",
        input.name
    ))
}

/// Reads the contents of one input.
struct Reader<'r, 'a> {
    input: &'r InputHead<'a>,
    data_type: DataType,
    field: u32,
    elements: usize,
}

impl<'a> Reader<'_, 'a> {
    /// Elements as they lie in the frame, when they are floats and lie in one piece.
    fn packed_floats(&self) -> Result<Option<&'a [u8]>, InferError> {
        let size = match self.data_type {
            DataType::Fp32 => 4,
            DataType::Fp64 => 8,
            _ => return Ok(None),
        };
        let [only] = self.input.contents.as_slice() else { return Ok(None) };
        let mut fields = Fields::new(only);
        match (fields.next()?, fields.next()?) {
            (Some((number, Value::Block(packed))), None) if number == self.field => {
                if !packed.len().is_multiple_of(size) {
                    return Err(malformed("a packed list is cut off"));
                }
                self.check_count(packed.len() / size)?;
                Ok(Some(packed))
            }
            _ => Ok(None),
        }
    }

    /// Every element takes a byte on the wire at least: more cannot be there, and nothing is
    /// allocated for a shape that says so.
    fn check_plausible(&self) -> Result<(), InferError> {
        let sent: usize = self.input.contents.iter().map(|piece| piece.len()).sum();
        if self.elements > sent {
            return Err(InferError::invalid(format!(
                "input '{}' has too few elements in its contents: its shape holds {}",
                self.input.name, self.elements
            )));
        }
        Ok(())
    }

    fn integers<const N: usize>(
        &self,
        encode: impl Fn(u64) -> Option<[u8; N]>,
    ) -> Result<Vec<u8>, InferError> {
        let mut data = Vec::with_capacity(self.elements * N);
        let mut push = |value: u64| {
            let bytes = encode(value).ok_or_else(|| self.out_of_range(value))?;
            self.check_room(data.len() / N)?;
            data.extend_from_slice(&bytes);
            Ok(())
        };
        self.each(|value| match value {
            Value::Varint(value) => push(value),
            Value::Block(list) => wire::packed(list).try_for_each(|value| push(value?)),
            _ => Err(malformed("a list of integers has another type")),
        })?;
        self.check_count(data.len() / N)?;
        Ok(data)
    }

    /// Floats that are not packed into one piece.
    fn floats<const N: usize>(
        &self,
        fixed: impl Fn(Value<'a>) -> Option<[u8; N]>,
    ) -> Result<Vec<u8>, InferError> {
        let mut data = Vec::new();
        self.each(|value| {
            let single = fixed(value);
            let list = match (value, &single) {
                (_, Some(single)) => single.as_slice(),
                (Value::Block(list), None) if list.len().is_multiple_of(N) => list,
                _ => return Err(malformed("a list of floats has another type")),
            };
            data.extend_from_slice(list);
            Ok(())
        })?;
        self.check_count(data.len() / N)?;
        Ok(data)
    }

    fn strings(&self) -> Result<Vec<u8>, InferError> {
        const LENGTH: usize = 4;
        let sent: usize = self.input.contents.iter().map(|piece| piece.len()).sum();
        let mut data = Vec::with_capacity(sent + LENGTH * self.elements);
        let mut found = 0;
        self.each(|value| {
            self.check_room(found)?;
            strings::push(&mut data, value.block()?);
            found += 1;
            Ok(())
        })?;
        self.check_count(found)?;
        Ok(data)
    }

    /// Calls `take` with each value of the right field; another field that holds anything is an
    /// error.
    fn each(
        &self,
        mut take: impl FnMut(Value<'a>) -> Result<(), InferError>,
    ) -> Result<(), InferError> {
        for piece in &self.input.contents {
            let mut fields = Fields::new(piece);
            while let Some((number, value)) = fields.next()? {
                if number == self.field {
                    take(value)?;
                } else if let Some(name) = FIELDS.get((number as usize).wrapping_sub(1))
                    && value != Value::Block(&[])
                {
                    return Err(self.wrong_field(name));
                }
            }
        }
        Ok(())
    }

    fn check_room(&self, found: usize) -> Result<(), InferError> {
        if found < self.elements {
            return Ok(());
        }
        Err(InferError::invalid(format!(
            "input '{}' has more elements in its contents than its shape, which holds {}",
            self.input.name, self.elements
        )))
    }

    fn check_count(&self, found: usize) -> Result<(), InferError> {
        if found == self.elements {
            return Ok(());
        }
        Err(InferError::invalid(format!(
            "input '{}' has {found} elements in its contents, but its shape holds {}",
            self.input.name, self.elements
        )))
    }

    fn wrong_field(&self, found: &str) -> InferError {
        let expected = FIELDS[self.field as usize - 1];
        InferError::invalid(format!(
            "input '{}' of datatype {} has {found}, expected {expected}",
            self.input.name, self.data_type
        ))
    }

    fn out_of_range(&self, value: u64) -> InferError {
        let signed = matches!(self.data_type, DataType::Int8 | DataType::Int16);
        let value = if signed { i64::from(int32(value)) } else { i64::from(uint32(value)) };
        InferError::invalid(format!(
            "element {value} of input '{}' does not fit datatype {}",
            self.input.name, self.data_type
        ))
    }
}
