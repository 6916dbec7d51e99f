//! Tensors that are part of a model: initializers and tensor attributes.

use bytes::Bytes;
use modelyard_tensor::{Shape, Tensor, strings};

use crate::ElementType;

/// A tensor in the file or beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The name; empty where the file gives none (tensors in attributes).
    pub name: String,
    /// What it is made of.
    pub element_type: ElementType,
    /// The dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Where its elements are.
    pub data: ConstantData,
}

/// Where the elements of a [`Constant`] are.
#[derive(Clone, Debug, PartialEq)]
pub enum ConstantData {
    /// Little-endian bytes, row-major, in the model file; types below 8 bits are packed.
    Raw(Bytes),
    /// `float_data`: `float`, and `complex64` as pairs.
    Floats(Vec<f32>),
    /// `int32_data`: all types of up to 32 bits that are not float or uint32, one element (or
    /// the packed elements of one byte) in each; 16-bit floats as their bits.
    Ints(Vec<i32>),
    /// `int64_data`: `int64`.
    Longs(Vec<i64>),
    /// `double_data`: `double`, and `complex128` as pairs.
    Doubles(Vec<f64>),
    /// `uint64_data`: `uint32` and `uint64`.
    Unsigned(Vec<u64>),
    /// `string_data`.
    Strings(Vec<Bytes>),
    /// In another file.
    External(ExternalData),
}

/// A stretch of a file beside the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalData {
    /// Path relative to the model's folder, as the file states it. Not to be trusted:
    /// [`crate::file::resolve`] checks it.
    pub location: String,
    /// Where it starts.
    pub offset: u64,
    /// How long it is; to the end of the file when absent.
    pub length: Option<u64>,
}

/// A tensor given by its elements that are not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseConstant {
    /// The elements; its name is the name of the whole.
    pub values: Constant,
    /// Where they belong.
    pub indices: Constant,
    /// Dimensions of the whole.
    pub dims: Vec<usize>,
}

impl Constant {
    /// A constant of these little-endian bytes. Whether they fit the shape is for
    /// `verify` to say.
    pub fn raw(
        name: &str,
        element_type: impl Into<ElementType>,
        dims: &[usize],
        bytes: impl Into<Bytes>,
    ) -> Constant {
        Constant {
            name: name.into(),
            element_type: element_type.into(),
            dims: dims.to_vec(),
            data: ConstantData::Raw(bytes.into()),
        }
    }

    /// Number of elements; `None` when that overflows.
    pub fn elements(&self) -> Option<usize> {
        Shape::new(&self.dims).elements()
    }

    /// Bytes that the shape asks for. Strings count what is there. `None` on overflow.
    pub fn byte_len(&self) -> Option<usize> {
        match &self.data {
            ConstantData::Strings(strings) => Some(strings.iter().map(Bytes::len).sum()),
            _ => self.element_type.byte_len(self.elements()?),
        }
    }

    /// The elements as little-endian bytes, as [`ConstantData::Raw`] has them. `None` for
    /// strings and external data.
    pub fn bytes(&self) -> Option<Bytes> {
        match &self.data {
            ConstantData::Raw(bytes) => Some(bytes.clone()),
            ConstantData::Floats(items) => Some(collect(items, |item| item.to_le_bytes())),
            ConstantData::Longs(items) => Some(collect(items, |item| item.to_le_bytes())),
            ConstantData::Doubles(items) => Some(collect(items, |item| item.to_le_bytes())),
            ConstantData::Unsigned(items) => Some(match self.element_type {
                ElementType::Uint32 => collect(items, |item| (item as u32).to_le_bytes()),
                _ => collect(items, |item| item.to_le_bytes()),
            }),
            ConstantData::Ints(items) => Some(match self.element_type.bits() {
                ..=8 => collect(items, |item| [item as u8]),
                16 => collect(items, |item| (item as u16).to_le_bytes()),
                _ => collect(items, |item| item.to_le_bytes()),
            }),
            ConstantData::Strings(_) | ConstantData::External(_) => None,
        }
    }

    /// The constant as a tensor. `None` where the data is external or the type has no
    /// counterpart on the wire.
    pub fn to_tensor(&self) -> Option<Tensor> {
        let bytes = match &self.data {
            ConstantData::Strings(items) => strings::encode(items),
            _ => self.bytes()?,
        };
        Tensor::new(self.element_type.data_type()?, Shape::new(&self.dims), bytes).ok()
    }

    /// The elements as integers, for shapes and axes. `None` where they are not integers or
    /// external, or more than `most`.
    pub fn integers(&self, most: usize) -> Option<Vec<i64>> {
        if self.elements()? > most {
            return None;
        }
        let bytes = self.bytes()?;
        match self.element_type {
            ElementType::Int64 => {
                Some(bytes.as_chunks().0.iter().map(|&item| i64::from_le_bytes(item)).collect())
            }
            ElementType::Int32 => Some(
                bytes.as_chunks().0.iter().map(|&item| i32::from_le_bytes(item).into()).collect(),
            ),
            ElementType::Uint8 | ElementType::Bool => {
                Some(bytes.iter().map(|&item| item.into()).collect())
            }
            _ => None,
        }
    }

    /// The external data behind it, if that is where its elements are.
    pub fn external(&self) -> Option<&ExternalData> {
        match &self.data {
            ConstantData::External(external) => Some(external),
            _ => None,
        }
    }
}

fn collect<T: Copy, const N: usize>(items: &[T], bytes: impl Fn(T) -> [u8; N]) -> Bytes {
    items.iter().flat_map(|&item| bytes(item)).collect::<Vec<u8>>().into()
}
