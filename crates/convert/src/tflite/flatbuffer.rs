//! FlatBuffers, read where they are asked for.
//!
//! A table is a position in the file; before it stands, anywhere, a vtable that says at which
//! distance each field lies. Nothing of that is believed: every offset is checked against the file,
//! every count against the bytes behind it, and all that is read is charged to one budget, since
//! many offsets may lead to the same table. Large vectors (weights) are only located here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::input::Input;
use crate::{ConvertError, Limits};

/// How much is read of the file at once.
const PAGE: u64 = 64 << 10;

/// A file of one root table.
#[derive(Debug)]
pub(crate) struct File {
    input: Input,
    format: &'static str,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Pages that were read, by number.
    pages: HashMap<u64, Bytes>,
    /// Bytes that were given out.
    charged: u64,
}

/// A table: fields by number, each there or left out.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    file: Arc<File>,
    at: u64,
    /// Bytes of the table itself.
    size: u64,
    /// Distances of the fields from `at`, two bytes each; 0 for fields that are left out.
    fields: Bytes,
}

/// A stretch of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where it starts.
    pub(crate) offset: u64,
    /// How many bytes it has.
    pub(crate) len: u64,
}

impl File {
    /// The root table of `input`. All that is read of it in small pieces must be below
    /// `limits.description_bytes`.
    pub(crate) fn root(
        input: &Input,
        format: &'static str,
        limits: &Limits,
    ) -> Result<Table, ConvertError> {
        let file = Arc::new(File {
            input: input.clone(),
            format,
            limit: limits.description_bytes,
            state: Mutex::default(),
        });
        Table::at_offset(&file, 0)
    }

    fn damaged(&self, at: u64, message: impl Into<String>) -> ConvertError {
        let place = format!("byte {at}");
        ConvertError::Malformed { format: self.format, place, message: message.into() }
    }

    /// `len` bytes from `at`, charged.
    fn read(&self, at: u64, len: u64) -> Result<Bytes, ConvertError> {
        let end = at.checked_add(len).filter(|&end| end <= self.input.len).ok_or_else(|| {
            let size = self.input.len;
            self.damaged(at, format!("expected {len} bytes there, found a file of {size} bytes"))
        })?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.charged = state.charged.saturating_add(len);
        if state.charged > self.limit {
            let place = format!("'{}'", self.input.path.display());
            let (found, limit) = (state.charged, self.limit);
            return Err(ConvertError::TooLarge { place, what: "bytes of tables", found, limit });
        }
        let page = at / PAGE;
        let start = page * PAGE;
        if end > start + PAGE {
            let len = usize::try_from(len).map_err(|error| self.damaged(at, error.to_string()))?;
            return self.input.read(at, len);
        }
        let bytes = match state.pages.get(&page) {
            Some(bytes) => bytes.clone(),
            None => {
                let len = PAGE.min(self.input.len - start);
                let bytes = self.input.read(start, len as usize)?;
                state.pages.insert(page, bytes.clone());
                bytes
            }
        };
        // Both ends lie in the page: checked above.
        Ok(bytes.slice((at - start) as usize..(end - start) as usize))
    }

    fn array<const N: usize>(&self, at: u64) -> Result<[u8; N], ConvertError> {
        let bytes = self.read(at, N as u64)?;
        let array = bytes.first_chunk().copied();
        array.ok_or_else(|| self.damaged(at, "the file ends inside a number"))
    }

    /// Follows the offset that stands at `at`.
    fn follow(&self, at: u64) -> Result<u64, ConvertError> {
        let offset = u64::from(u32::from_le_bytes(self.array(at)?));
        match at.checked_add(offset) {
            Some(target) if offset != 0 && target < self.input.len => Ok(target),
            _ => Err(self.damaged(at, format!("an offset of {offset} leads out of the file"))),
        }
    }
}

impl Table {
    /// The table that the offset at `at` leads to.
    fn at_offset(file: &Arc<File>, at: u64) -> Result<Table, ConvertError> {
        let at = file.follow(at)?;
        let back = i64::from(i32::from_le_bytes(file.array(at)?));
        let vtable = i64::try_from(at).ok().and_then(|at| at.checked_sub(back));
        let vtable = vtable.and_then(|vtable| u64::try_from(vtable).ok()).ok_or_else(|| {
            file.damaged(at, format!("its vtable is {back} bytes before it, outside the file"))
        })?;
        let head: [u8; 4] = file.array(vtable)?;
        let length = u64::from(u16::from_le_bytes([head[0], head[1]]));
        let size = u64::from(u16::from_le_bytes([head[2], head[3]]));
        if length < 4 || !length.is_multiple_of(2) || size < 4 {
            let message = format!("expected a vtable, found lengths {length} and {size}");
            return Err(file.damaged(vtable, message));
        }
        let fields = file.read(vtable + 4, length - 4)?;
        Ok(Table { file: file.clone(), at, size, fields })
    }

    /// An error about this table.
    pub(crate) fn damaged(&self, message: impl Into<String>) -> ConvertError {
        self.file.damaged(self.at, message)
    }

    /// Where a field of `len` bytes lies; `None` when it is left out.
    fn place(&self, field: usize, len: u64) -> Result<Option<u64>, ConvertError> {
        let distance = match self.fields.get(field * 2..field * 2 + 2) {
            Some(&[low, high]) => u64::from(u16::from_le_bytes([low, high])),
            _ => 0,
        };
        match distance {
            0 => Ok(None),
            distance if distance >= 4 && distance + len <= self.size => {
                Ok(Some(self.at + distance))
            }
            _ => {
                let size = self.size;
                Err(self.damaged(format!("field {field} is at {distance} of {size} bytes")))
            }
        }
    }

    fn number<const N: usize, T>(
        &self,
        field: usize,
        default: T,
        from: impl Fn([u8; N]) -> T,
    ) -> Result<T, ConvertError> {
        match self.place(field, N as u64)? {
            Some(at) => Ok(from(self.file.array(at)?)),
            None => Ok(default),
        }
    }

    /// A boolean; `false` when it is left out.
    pub(crate) fn bool(&self, field: usize) -> Result<bool, ConvertError> {
        Ok(self.u8(field)? != 0)
    }

    /// An unsigned byte; 0 when it is left out.
    pub(crate) fn u8(&self, field: usize) -> Result<u8, ConvertError> {
        self.number(field, 0, |[byte]: [u8; 1]| byte)
    }

    /// A signed byte; 0 when it is left out.
    pub(crate) fn i8(&self, field: usize) -> Result<i8, ConvertError> {
        self.number(field, 0, i8::from_le_bytes)
    }

    /// A 32-bit integer.
    pub(crate) fn i32(&self, field: usize, default: i32) -> Result<i32, ConvertError> {
        self.number(field, default, i32::from_le_bytes)
    }

    /// An unsigned 32-bit integer; 0 when it is left out.
    pub(crate) fn u32(&self, field: usize) -> Result<u32, ConvertError> {
        self.number(field, 0, u32::from_le_bytes)
    }

    /// An unsigned 64-bit integer; 0 when it is left out.
    pub(crate) fn u64(&self, field: usize) -> Result<u64, ConvertError> {
        self.number(field, 0, u64::from_le_bytes)
    }

    /// A float; 0 when it is left out.
    pub(crate) fn f32(&self, field: usize) -> Result<f32, ConvertError> {
        self.number(field, 0.0, f32::from_le_bytes)
    }

    /// A table; `None` when it is left out.
    pub(crate) fn table(&self, field: usize) -> Result<Option<Table>, ConvertError> {
        match self.place(field, 4)? {
            Some(at) => Table::at_offset(&self.file, at).map(Some),
            None => Ok(None),
        }
    }

    /// Where the items of a vector lie, and how many bytes they have; `None` when it is left out.
    pub(crate) fn span(&self, field: usize, item: u64) -> Result<Option<Span>, ConvertError> {
        let Some(at) = self.place(field, 4)? else { return Ok(None) };
        let start = self.file.follow(at)?;
        let count = u64::from(u32::from_le_bytes(self.file.array(start)?));
        let (offset, len) = (start + 4, count * item);
        match offset.checked_add(len) {
            Some(end) if end <= self.file.input.len => Ok(Some(Span { offset, len })),
            _ => Err(self.file.damaged(start, format!("a vector of {count} items is cut off"))),
        }
    }

    fn items<const N: usize, T>(
        &self,
        field: usize,
        from: impl Fn([u8; N]) -> T,
    ) -> Result<Option<Vec<T>>, ConvertError> {
        let Some(span) = self.span(field, N as u64)? else { return Ok(None) };
        let bytes = self.file.read(span.offset, span.len)?;
        Ok(Some(bytes.as_chunks().0.iter().map(|&item| from(item)).collect()))
    }

    /// A vector of 32-bit integers; `None` when it is left out.
    pub(crate) fn i32s(&self, field: usize) -> Result<Option<Vec<i32>>, ConvertError> {
        self.items(field, i32::from_le_bytes)
    }

    /// A vector of unsigned 16-bit integers; `None` when it is left out.
    pub(crate) fn u16s(&self, field: usize) -> Result<Option<Vec<u16>>, ConvertError> {
        self.items(field, u16::from_le_bytes)
    }

    /// A vector of 64-bit integers; `None` when it is left out.
    pub(crate) fn i64s(&self, field: usize) -> Result<Option<Vec<i64>>, ConvertError> {
        self.items(field, i64::from_le_bytes)
    }

    /// A vector of floats; `None` when it is left out.
    pub(crate) fn f32s(&self, field: usize) -> Result<Option<Vec<f32>>, ConvertError> {
        self.items(field, f32::from_le_bytes)
    }

    /// A vector of bytes; `None` when it is left out.
    pub(crate) fn bytes(&self, field: usize) -> Result<Option<Bytes>, ConvertError> {
        match self.span(field, 1)? {
            Some(span) => self.file.read(span.offset, span.len).map(Some),
            None => Ok(None),
        }
    }

    /// A string; `None` when it is left out. What is not UTF-8 in it is replaced.
    pub(crate) fn string(&self, field: usize) -> Result<Option<String>, ConvertError> {
        let bytes = self.bytes(field)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A vector of tables; empty when it is left out.
    pub(crate) fn tables(&self, field: usize) -> Result<Vec<Table>, ConvertError> {
        let Some(span) = self.span(field, 4)? else { return Ok(Vec::new()) };
        let mut tables = Vec::new();
        for index in 0..span.len / 4 {
            tables.push(Table::at_offset(&self.file, span.offset + index * 4)?);
        }
        Ok(tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root table with one integer field of 7, a left-out field, and a vector of two floats.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![16, 0, 0, 0];
        // The vtable: 10 bytes, of a table of 12 bytes; fields at 4, left out, and at 8.
        bytes.extend([10, 0, 12, 0, 4, 0, 0, 0, 8, 0, 0, 0]);
        bytes.extend(12i32.to_le_bytes());
        bytes.extend(7i32.to_le_bytes());
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(2u32.to_le_bytes());
        bytes.extend([1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    fn root(bytes: Vec<u8>) -> Result<Table, ConvertError> {
        File::root(&Input::memory("sample", bytes), "sample", &Limits::default())
    }

    #[test]
    fn fields_are_found_by_number() {
        let table = root(sample()).unwrap();
        assert_eq!(table.i32(0, 1).unwrap(), 7);
        assert_eq!(table.i32(1, 1).unwrap(), 1);
        assert_eq!(table.f32s(2).unwrap(), Some(vec![1.5, -2.0]));
        assert_eq!(table.i32(9, 5).unwrap(), 5);
        assert_eq!(table.i32s(1).unwrap(), None);
    }

    #[test]
    fn what_leads_out_of_the_file_is_an_error() {
        let mut cut = sample();
        cut.truncate(cut.len() - 1);
        assert!(root(cut).unwrap().f32s(2).is_err());
        assert!(root(vec![200, 0, 0, 0]).is_err());
        assert!(root(vec![0; 64]).is_err());
    }

    #[test]
    fn no_change_of_a_byte_panics() {
        for index in 0..sample().len() {
            for value in [0, 1, 4, 127, 128, 255] {
                let mut bytes = sample();
                bytes[index] = value;
                let Ok(table) = root(bytes) else { continue };
                let _ = (table.i32(0, 0), table.f32s(2), table.tables(2), table.string(2));
            }
        }
    }
}
