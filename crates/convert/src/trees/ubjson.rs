//! UBJSON, draft 12, as a format of serde: what XGBoost saves by default.
//!
//! Reads straight into typed values, so that a million thresholds take four bytes each. Every
//! length is held against the bytes that are there.

use std::fmt;

use serde::de::{self, Deserializer, IntoDeserializer, Visitor};

/// What was wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

/// Reads one value that takes all of `bytes` and nests at most `depth` deep.
pub(super) fn from_slice<'de, T: de::Deserialize<'de>>(
    bytes: &'de [u8],
    depth: usize,
) -> Result<T, Error> {
    let mut reader = Reader { bytes, position: 0, depth };
    let value = T::deserialize(Value { reader: &mut reader, marker: None })
        .map_err(|Error(message)| Error(format!("before byte {}: {message}", reader.position)))?;
    match bytes.len() - reader.position {
        0 => Ok(value),
        more => Err(Error(format!("{more} bytes are left behind the end"))),
    }
}

struct Reader<'de> {
    bytes: &'de [u8],
    position: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn take(&mut self, count: usize) -> Result<&'de [u8], Error> {
        let end = self.position.checked_add(count).filter(|&end| end <= self.bytes.len());
        let found = end.and_then(|end| self.bytes.get(self.position..end));
        let found = found.ok_or_else(|| Error(format!("expected {count} more bytes")))?;
        self.position += count;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Error(format!("expected {N} more bytes")))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    /// The next marker that is not the one for nothing.
    fn marker(&mut self) -> Result<u8, Error> {
        loop {
            let [marker] = self.array()?;
            if marker != b'N' {
                return Ok(marker);
            }
        }
    }

    /// An integer of the type of `marker`.
    fn integer(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            other => {
                let found = other.escape_ascii();
                return Err(Error(format!("expected an integer, found marker '{found}'")));
            }
        })
    }

    fn length(&mut self) -> Result<usize, Error> {
        let marker = self.marker()?;
        let length = self.integer(marker)?;
        usize::try_from(length).map_err(|_| Error(format!("a length of {length}")))
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Error("text that is not UTF-8".into()))
    }

    /// What stands at the start of an array or object: the type of all its values, and how many.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), Error> {
        let kind = if self.peek() == Some(b'$') {
            self.position += 1;
            Some(self.marker()?)
        } else {
            None
        };
        if self.peek() == Some(b'#') {
            self.position += 1;
            let count = self.length()?;
            // Each takes a byte at least: without this, a number alone could ask for any work.
            let sized = kind.is_none_or(|kind| !matches!(kind, b'Z' | b'T' | b'F' | b'N'));
            if !sized || count > self.bytes.len() - self.position {
                return Err(Error(format!("{count} values announced that are not there")));
            }
            return Ok((kind, Some(count)));
        }
        match kind {
            Some(_) => Err(Error("a type of values without their number".into())),
            None => Ok((None, None)),
        }
    }
}

/// One value; `marker` where its type was said before.
struct Value<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: Option<u8>,
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let reader = self.reader;
        let marker = match self.marker {
            Some(marker) => marker,
            None => reader.marker()?,
        };
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(reader.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(reader.array()?)),
            b'C' => visitor.visit_char(char::from(reader.array::<1>()?[0])),
            b'S' => visitor.visit_borrowed_str(reader.text()?),
            b'[' | b'{' => {
                reader.depth =
                    reader.depth.checked_sub(1).ok_or(Error("it nests too deep".into()))?;
                let (kind, left) = reader.header()?;
                let end = if marker == b'[' { b']' } else { b'}' };
                let mut items = Items { reader, kind, left, end };
                let value = match marker {
                    b'[' => visitor.visit_seq(&mut items),
                    _ => visitor.visit_map(&mut items),
                }?;
                items.reader.depth += 1;
                Ok(value)
            }
            other => visitor.visit_i64(reader.integer(other)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of an array or object.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    kind: Option<u8>,
    left: Option<usize>,
    end: u8,
}

impl Items<'_, '_> {
    /// Whether another value comes.
    fn more(&mut self) -> Result<bool, Error> {
        if let Some(left) = &mut self.left {
            let more = *left > 0;
            *left = left.saturating_sub(1);
            return Ok(more);
        }
        match self.reader.peek() {
            Some(found) if found == self.end => {
                self.reader.position += 1;
                Ok(false)
            }
            _ => Ok(true),
        }
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(Value { reader: self.reader, marker: self.kind }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

impl<'de> de::MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(IntoDeserializer::<Error>::into_deserializer(key)).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Value { reader: self.reader, marker: self.kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn check(bytes: &[u8], expected: Json) {
        assert_eq!(from_slice::<Json>(bytes, 8).unwrap(), expected);
    }

    fn refused(bytes: &[u8], message: &str) {
        let error = from_slice::<Json>(bytes, 8).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn every_kind_of_value_is_read() {
        check(
            b"{i\x01ai\xffi\x01bI\x01\x00i\x01cTi\x01dZ}",
            json!({"a": -1, "b": 256, "c": true, "d": null}),
        );
        check(b"[$U#i\x03\x01\x02\xff", json!([1, 2, 255]));
        check(b"[#i\x02Si\x02hid\x3f\x00\x00\x00", json!(["hi", 0.5]));
        check(b"[l\x00\x00\x00\x05ND\x3f\xe0\0\0\0\0\0\0]", json!([5, 0.5]));
        check(b"{$i#i\x01i\x01k\x07", json!({"k": 7}));
        check(b"[[]{}C\x61]", json!([[], {}, "a"]));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        refused(b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "not there");
        refused(b"[$T#i\x05", "not there");
        refused(b"Si\x05ab", "expected 5 more bytes");
        refused(b"Si\xff", "a length of -1");
        refused(b"[[[[[[[[[]]]]]]]]]", "too deep");
        refused(b"ZZ", "1 bytes are left");
        refused(b"Q", "found marker 'Q'");
    }

    proptest! {
        #[test]
        fn nonsense_is_survived(bytes in proptest::collection::vec(
            prop_oneof![Just(b'['), Just(b'{'), Just(b'$'), Just(b'#'), Just(b'i'), any::<u8>()], 0..64,
        )) {
            let _ = from_slice::<Json>(&bytes, 8);
        }
    }
}
