//! The elements of one tensor, on their way to a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::Bytes;

use crate::{Constant, ConstantData, ElementType};

/// Elements of a tensor, where they are: nothing is copied before it is written.
#[derive(Clone, Debug)]
pub(crate) enum Payload<'a> {
    /// Little-endian bytes.
    Raw(&'a Bytes),
    /// `float_data`.
    Floats(&'a [f32]),
    /// `int32_data`, of this element type.
    Ints(&'a [i32], ElementType),
    /// `int64_data`.
    Longs(&'a [i64]),
    /// `double_data`.
    Doubles(&'a [f64]),
    /// `uint64_data`, of this element type.
    Unsigned(&'a [u64], ElementType),
    /// Little-endian bytes in another file.
    File {
        /// The file.
        path: PathBuf,
        /// Where they start.
        offset: u64,
        /// How many there are.
        len: u64,
    },
}

/// Bytes that are converted or copied at a time.
const BLOCK: usize = 64 << 10;

impl<'a> Payload<'a> {
    /// The elements of a constant; `None` for strings and for external data.
    pub(crate) fn of(constant: &'a Constant) -> Option<Payload<'a>> {
        let element_type = constant.element_type;
        Some(match &constant.data {
            ConstantData::Raw(bytes) => Payload::Raw(bytes),
            ConstantData::Floats(items) => Payload::Floats(items),
            ConstantData::Ints(items) => Payload::Ints(items, element_type),
            ConstantData::Longs(items) => Payload::Longs(items),
            ConstantData::Doubles(items) => Payload::Doubles(items),
            ConstantData::Unsigned(items) => Payload::Unsigned(items, element_type),
            ConstantData::Strings(_) | ConstantData::External(_) => return None,
        })
    }

    /// The field of `TensorProto` that holds it.
    pub(crate) fn tag(&self) -> u32 {
        match self {
            Payload::Floats(_) => 4,
            Payload::Ints(..) => 5,
            Payload::Longs(_) => 7,
            Payload::Raw(_) | Payload::File { .. } => 9,
            Payload::Doubles(_) => 10,
            Payload::Unsigned(..) => 11,
        }
    }

    /// Bytes that it takes in protobuf.
    pub(crate) fn len(&self) -> u64 {
        fn varints(items: impl Iterator<Item = u64>) -> u64 {
            items.map(|item| prost::encoding::encoded_len_varint(item) as u64).sum()
        }
        match self {
            Payload::Raw(bytes) => bytes.len() as u64,
            Payload::Floats(items) => 4 * items.len() as u64,
            Payload::Ints(items, _) => varints(items.iter().map(|&item| i64::from(item) as u64)),
            Payload::Longs(items) => varints(items.iter().map(|&item| item as u64)),
            Payload::Doubles(items) => 8 * items.len() as u64,
            Payload::Unsigned(items, _) => varints(items.iter().copied()),
            Payload::File { len, .. } => *len,
        }
    }

    /// Writes it as it stands in protobuf; `done` hears of each block.
    pub(crate) fn write(&self, to: &mut impl Write, done: &mut dyn FnMut(u64)) -> io::Result<()> {
        match self {
            Payload::Ints(items, _) => {
                let items = items.iter().map(|&item| i64::from(item) as u64);
                blocks(items, prost::encoding::encode_varint, to, done)
            }
            Payload::Longs(items) => {
                let items = items.iter().map(|&item| item as u64);
                blocks(items, prost::encoding::encode_varint, to, done)
            }
            Payload::Unsigned(items, _) => {
                blocks(items.iter().copied(), prost::encoding::encode_varint, to, done)
            }
            other => other.write_raw(to, done),
        }
    }

    /// Writes it as little-endian bytes, as [`Constant::bytes`] gives them.
    pub(crate) fn write_raw(
        &self,
        to: &mut impl Write,
        done: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        match *self {
            Payload::Raw(bytes) => write_bytes(bytes, to, done),
            Payload::Floats(items) => each(items, |item| item.to_le_bytes(), to, done),
            Payload::Doubles(items) => each(items, |item| item.to_le_bytes(), to, done),
            Payload::Longs(items) => each(items, |item| item.to_le_bytes(), to, done),
            Payload::Unsigned(items, ElementType::Uint32) => {
                each(items, |item| (item as u32).to_le_bytes(), to, done)
            }
            Payload::Unsigned(items, _) => each(items, |item| item.to_le_bytes(), to, done),
            Payload::Ints(items, element_type) => match element_type.bits() {
                ..=8 => each(items, |item| [item as u8], to, done),
                16 => each(items, |item| (item as u16).to_le_bytes(), to, done),
                _ => each(items, |item| item.to_le_bytes(), to, done),
            },
            Payload::File { ref path, offset, len } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                copy(&mut file, len, to, done)
            }
        }
    }
}

fn write_bytes(bytes: &[u8], to: &mut impl Write, done: &mut dyn FnMut(u64)) -> io::Result<()> {
    // Large enough to cost nothing, small enough to show progress.
    for block in bytes.chunks(64 * BLOCK) {
        to.write_all(block)?;
        done(block.len() as u64);
    }
    Ok(())
}

fn each<T: Copy, const N: usize>(
    items: &[T],
    bytes: impl Fn(T) -> [u8; N],
    to: &mut impl Write,
    done: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let add = |item: T, block: &mut Vec<u8>| block.extend(bytes(item));
    blocks(items.iter().copied(), add, to, done)
}

fn blocks<T>(
    items: impl Iterator<Item = T>,
    add: impl Fn(T, &mut Vec<u8>),
    to: &mut impl Write,
    done: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK + 16);
    let mut flush = |block: &mut Vec<u8>| {
        to.write_all(block)?;
        done(block.len() as u64);
        block.clear();
        io::Result::Ok(())
    };
    for item in items {
        add(item, &mut block);
        if block.len() >= BLOCK {
            flush(&mut block)?;
        }
    }
    flush(&mut block)
}

fn copy(
    from: &mut impl Read,
    len: u64,
    to: &mut impl Write,
    done: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut left = len;
    while left > 0 {
        let size = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        from.read_exact(&mut block[..size])?;
        to.write_all(&block[..size])?;
        done(size as u64);
        left -= size as u64;
    }
    Ok(())
}
