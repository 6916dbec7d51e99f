//! `.params`: arrays by name, in the format of `mx.nd.save`.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | 0x112 |
//! | 8 | 0 |
//! | 8 | number of arrays, each of which follows |
//! | 8 | number of names, each of which follows: 8 bytes of length, then text |
//!
//! An array is a magic number of its version, the kind of storage, the dimensions, the device, the
//! type and the elements.

use std::collections::BTreeMap;

use bytes::Bytes;
use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::Shape;

use super::malformed;
use crate::input::Input;
use crate::{ConvertError, Limits};

const MAGIC: u64 = 0x112;
/// Arrays of version 1: dimensions of 64 bits.
const VERSION_1: u32 = 0xF993_FAC8;
/// Arrays of version 2: the kind of storage as well.
const VERSION_2: u32 = 0xF993_FAC9;
/// Arrays of version 3: shapes as numpy has them, so that 0 dimensions are a scalar.
const VERSION_3: u32 = 0xF993_FACA;
/// Most dimensions of an array.
const RANK: usize = 32;

/// The arrays of a file: where they are. Their elements are read when they are asked for.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    input: Option<Input>,
    entries: BTreeMap<String, Entry>,
}

/// One array.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) element_type: ElementType,
    pub(super) dims: Vec<usize>,
    offset: u64,
    bytes: usize,
}

impl Parameters {
    /// Reads where the arrays of a file are. `arg:` and `aux:` in front of names are dropped.
    pub(super) fn open(input: &Input, limits: &Limits) -> Result<Parameters, ConvertError> {
        let mut reader = Reader { input, position: 0 };
        if reader.u64()? != MAGIC {
            return Err(malformed("the parameters", "they begin with another number than 0x112"));
        }
        reader.u64()?;
        let count = reader.count(limits)?;
        let mut arrays = Vec::new();
        for index in 0..count {
            let entry = reader.array(limits);
            arrays.push(entry.map_err(|error| at(error, index))?);
        }
        let names = reader.count(limits)?;
        if names != count && names != 0 {
            let message = format!("{count} arrays with {names} names");
            return Err(malformed("the parameters", message));
        }
        let mut entries = BTreeMap::new();
        for (index, array) in arrays.into_iter().enumerate() {
            let name = if names == 0 { index.to_string() } else { reader.text(limits)? };
            let short = name.strip_prefix("arg:").or_else(|| name.strip_prefix("aux:"));
            entries.insert(short.unwrap_or(&name).to_owned(), array);
        }
        Ok(Parameters { input: Some(input.clone()), entries })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The elements of an array.
    pub(super) fn read(&self, name: &str) -> Result<Constant, ConvertError> {
        let found = self.entries.get(name).zip(self.input.as_ref());
        let (entry, input) =
            found.ok_or_else(|| malformed("the parameters", format!("there is no '{name}'")))?;
        let bytes: Bytes = input.read(entry.offset, entry.bytes)?;
        Ok(Constant::raw(name, entry.element_type, &entry.dims, bytes))
    }
}

fn at(error: ConvertError, index: usize) -> ConvertError {
    match error {
        ConvertError::Malformed { format, message, .. } => {
            ConvertError::Malformed { format, place: format!("array {index}"), message }
        }
        other => other,
    }
}

struct Reader<'a> {
    input: &'a Input,
    position: u64,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ConvertError> {
        let bytes = self.input.read(self.position, N)?;
        self.position += N as u64;
        bytes.as_ref().try_into().map_err(|_| malformed("the parameters", "they are cut off"))
    }

    fn u32(&mut self) -> Result<u32, ConvertError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ConvertError> {
        self.take().map(u64::from_le_bytes)
    }

    fn count(&mut self, limits: &Limits) -> Result<usize, ConvertError> {
        let found = self.u64()?;
        let limit = limits.entries as u64;
        if found > limit {
            let place = "the file of parameters".into();
            return Err(ConvertError::TooLarge { place, what: "arrays", found, limit });
        }
        Ok(found as usize)
    }

    fn text(&mut self, limits: &Limits) -> Result<String, ConvertError> {
        let length = self.u64()?;
        let known = usize::try_from(length).ok().filter(|_| length <= limits.description_bytes);
        let length = known.ok_or_else(|| malformed("a name", format!("{length} bytes long")))?;
        let bytes = self.input.read(self.position, length)?;
        self.position += length as u64;
        String::from_utf8(bytes.into()).map_err(|_| malformed("a name", "it is not UTF-8"))
    }

    fn array(&mut self, limits: &Limits) -> Result<Entry, ConvertError> {
        let wrong = |message: String| malformed("an array", message);
        let magic = self.u32()?;
        let wide = match magic {
            VERSION_1 => true,
            VERSION_2 | VERSION_3 => {
                // 0 is dense; version 2 had -1 for arrays without storage.
                match self.u32()? {
                    0 => true,
                    u32::MAX => return Err(wrong("it has no storage".into())),
                    _ => {
                        return Err(wrong(
                            "it is sparse, which is not covered; make it dense before saving: \
                             `array.tostype('default')`"
                                .into(),
                        ));
                    }
                }
            }
            _ => false,
        };
        // Before versions were invented, the number of dimensions stood here.
        let rank = if wide { self.u32()? } else { magic } as usize;
        if rank > RANK {
            return Err(wrong(format!("it has {rank} dimensions, or another format")));
        }
        let mut dims = Vec::with_capacity(rank);
        for _ in 0..rank {
            let dim = if wide { self.u64()? } else { self.u32()?.into() };
            dims.push(usize::try_from(dim).map_err(|_| wrong(format!("a dimension of {dim}")))?);
        }
        if rank == 0 && magic != VERSION_3 {
            return Err(wrong("it has no shape: it was saved before it was initialized".into()));
        }
        // Kind and number of the device.
        self.u64()?;
        let code = self.u32()?;
        let element_type = element_type(code).ok_or_else(|| wrong(format!("type {code}")))?;
        let bytes = Shape::new(&dims).elements().and_then(|count| element_type.byte_len(count));
        let bytes = bytes.filter(|&bytes| bytes as u64 <= limits.tensor_bytes);
        let bytes = bytes.ok_or_else(|| wrong(format!("shape {dims:?} is too large")))?;
        let offset = self.position;
        let end = offset.checked_add(bytes as u64).filter(|&end| end <= self.input.len);
        self.position = end.ok_or_else(|| {
            wrong(format!("expected {bytes} bytes for shape {dims:?}, found the end of the file"))
        })?;
        Ok(Entry { element_type, dims, offset, bytes })
    }
}

/// Types by their numbers in MXNet (`mshadow::TypeFlag`).
fn element_type(code: u32) -> Option<ElementType> {
    Some(match code {
        0 => ElementType::Float32,
        1 => ElementType::Float64,
        2 => ElementType::Float16,
        3 => ElementType::Uint8,
        4 => ElementType::Int32,
        5 => ElementType::Int8,
        6 => ElementType::Int64,
        7 => ElementType::Bool,
        8 => ElementType::Int16,
        9 => ElementType::Uint16,
        10 => ElementType::Uint32,
        11 => ElementType::Uint64,
        12 => ElementType::Bfloat16,
        _ => return None,
    })
}
