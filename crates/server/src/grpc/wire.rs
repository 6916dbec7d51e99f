//! As much of protobuf as an inference needs: fields borrowed from the frame that holds them.
//!
//! The generated types would serve as well, but they copy every name, and a message of many
//! empty entries grows a hundredfold when decoded into them. Reading fields in place costs no
//! memory, and whoever reads counts.

use bytes::{BufMut, BytesMut};
use modelyard_serving::InferError;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// An integer or boolean.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64([u8; 8]),
    /// A string, bytes, a message or a packed list.
    Block(&'a [u8]),
    /// Four bytes, little-endian.
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    /// The bytes of a string, bytes or message.
    pub(super) fn block(self) -> Result<&'a [u8], InferError> {
        match self {
            Value::Block(block) => Ok(block),
            _ => Err(malformed("a field has another type than the protocol gives it")),
        }
    }

    /// A string.
    pub(super) fn text(self) -> Result<&'a str, InferError> {
        std::str::from_utf8(self.block()?).map_err(|_| malformed("a string is not UTF-8"))
    }
}

/// The fields of a message, in the order they lie in.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of the message that these bytes are.
    pub(super) fn new(message: &'a [u8]) -> Self {
        Fields(message)
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, InferError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number =
            u32::try_from(key >> 3).map_err(|_| malformed("a field number is too large"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => Value::Block(self.block()?),
            5 => Value::Fixed32(self.fixed()?),
            _ => return Err(malformed("a field has an unknown wire type")),
        };
        Ok(Some((number, value)))
    }

    fn varint(&mut self) -> Result<u64, InferError> {
        let (value, len) = varint(self.0)?;
        self.0 = &self.0[len..];
        Ok(value)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], InferError> {
        let (value, rest) = self.0.split_first_chunk().ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(*value)
    }

    fn block(&mut self) -> Result<&'a [u8], InferError> {
        let len = usize::try_from(self.varint()?).map_err(|_| cut_off())?;
        let (block, rest) = self.0.split_at_checked(len).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(block)
    }
}

/// The integers of a packed list.
pub(super) fn packed(mut list: &[u8]) -> impl Iterator<Item = Result<u64, InferError>> {
    std::iter::from_fn(move || {
        if list.is_empty() {
            return None;
        }
        let read = varint(list);
        list = read.as_ref().map_or(&[], |(_, len)| &list[*len..]);
        Some(read.map(|(value, _)| value))
    })
}

/// The integer that `data` begins with, and how many bytes it takes.
pub(super) fn varint(data: &[u8]) -> Result<(u64, usize), InferError> {
    const LONGEST: usize = 10;
    if let Some(&byte) = data.first()
        && byte < 0x80
    {
        return Ok((byte.into(), 1));
    }
    let mut value = 0;
    for (index, &byte) in data.iter().take(LONGEST).enumerate() {
        if index == LONGEST - 1 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok((value, index + 1));
        }
    }
    if data.len() < LONGEST { Err(cut_off()) } else { Err(malformed("an integer is too long")) }
}

/// Bytes that an integer takes.
pub(super) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Bytes that a block field with a small number takes.
pub(super) fn block_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Writes an integer.
pub(super) fn put_varint(target: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        target.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    target.put_u8(value as u8);
}

/// Writes the beginning of a block field: its bytes follow.
pub(super) fn put_block_head(target: &mut BytesMut, number: u8, len: usize) {
    debug_assert!(number < 16, "larger numbers take two bytes");
    target.put_u8(number << 3 | 2);
    put_varint(target, len as u64);
}

/// Writes a block field; an empty one is left out, as it is the default.
pub(super) fn put_block(target: &mut BytesMut, number: u8, block: &[u8]) {
    if !block.is_empty() {
        put_block_head(target, number, block.len());
        target.put_slice(block);
    }
}

/// An error for bytes that are no message.
pub(super) fn malformed(what: &str) -> InferError {
    InferError::invalid(format!("failed to decode the protobuf message: {what}"))
}

fn cut_off() -> InferError {
    malformed("it is cut off")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// prost's codec is the independent truth.
        #[test]
        fn integers_are_prosts(value: u64) {
            let mut theirs = Vec::new();
            prost::encoding::encode_varint(value, &mut theirs);
            let mut ours = BytesMut::new();
            put_varint(&mut ours, value);
            prop_assert_eq!(&ours[..], &theirs[..]);
            prop_assert_eq!(varint(&theirs).unwrap(), (value, theirs.len()));
            prop_assert_eq!(varint_len(value), theirs.len());
        }

        #[test]
        fn hostile_bytes_end(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut fields = Fields::new(&data);
            while let Ok(Some(_)) = fields.next() {}
            prop_assert!(packed(&data).count() <= data.len());
        }
    }

    #[test]
    fn lengths_are_not_trusted() {
        let lying = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1];
        assert!(Fields::new(&lying).next().is_err());
        assert!(varint(&[0xff; 11]).is_err());
        assert!(varint(&[0x80]).is_err());
        let groups = [0x0b, 0x0c];
        assert!(Fields::new(&groups).next().is_err());
    }
}
