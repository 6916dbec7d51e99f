//! Constants of a graph: in the file itself or in a checkpoint, read when they are asked for.

use bytes::Bytes;
use modelyard_graph::{Constant, ConstantData, ElementType};
use modelyard_tensor::Shape;

use super::dtype;
use super::proto::{TensorProto, TensorShapeProto};
use crate::input::Input;
use crate::reference::{Array, Data};
use crate::{ConvertError, EvaluateError, Limits};

/// A tensor whose elements lie somewhere.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    /// What the model calls it; may be empty.
    pub(super) name: String,
    pub(super) element_type: ElementType,
    pub(super) dims: Vec<usize>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Little-endian bytes.
    Memory(Bytes),
    Strings(Vec<Bytes>),
    File {
        input: Input,
        offset: u64,
        len: usize,
    },
}

/// Bytes that a constant may have that the file states as one repeated value: nothing in the file
/// bounds it otherwise.
const MAX_REPEATED_BYTES: usize = 64 << 20;

impl Weight {
    /// A tensor in the file. The error says what is wrong with it.
    pub(super) fn of_proto(tensor: &TensorProto, limits: &Limits) -> Result<Weight, String> {
        let element_type = dtype::element_type(tensor.dtype)
            .ok_or_else(|| format!("type number {} is no tensor", tensor.dtype))?;
        let (dims, elements) = fixed(tensor.shape.as_ref())?;
        if element_type == ElementType::String {
            let strings = repeated(&tensor.strings, elements, 32, Bytes::clone)?;
            return Ok(Weight {
                name: String::new(),
                element_type,
                dims,
                source: Source::Strings(strings),
            });
        }
        let len = element_type.byte_len(elements).ok_or("its shape is too large")?;
        if len as u64 > limits.tensor_bytes {
            return Err(format!("{len} bytes, at most {} are allowed", limits.tensor_bytes));
        }
        let bytes = match tensor.content.is_empty() {
            false => tensor.content.clone(),
            true => listed(tensor, element_type, elements)?,
        };
        if bytes.len() != len {
            return Err(format!("expected {len} bytes for shape {dims:?}, found {}", bytes.len()));
        }
        Ok(Weight { name: String::new(), element_type, dims, source: Source::Memory(bytes) })
    }

    /// A tensor in a file of its own.
    pub(super) fn in_file(
        element_type: ElementType,
        shape: Option<&TensorShapeProto>,
        input: Input,
        (offset, len): (u64, u64),
    ) -> Result<Weight, String> {
        let (dims, elements) = fixed(shape)?;
        let expected = element_type.byte_len(elements).ok_or("it has a type without a size")?;
        if expected as u64 != len {
            return Err(format!("expected {expected} bytes for shape {dims:?}, found {len}"));
        }
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > input.len) {
            let found = input.len;
            return Err(format!("{len} bytes at {offset} lie outside of a file of {found} bytes"));
        }
        let source = Source::File { input, offset, len: expected };
        Ok(Weight { name: String::new(), element_type, dims, source })
    }

    /// Strings in memory.
    pub(super) fn strings(values: Vec<Bytes>) -> Weight {
        let dims = vec![values.len()];
        let source = Source::Strings(values);
        Weight { name: String::new(), element_type: ElementType::String, dims, source }
    }

    /// 64-bit integers in memory.
    pub(super) fn integers(values: &[i64]) -> Weight {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (dims, source) = (vec![values.len()], Source::Memory(bytes.into()));
        Weight { name: String::new(), element_type: ElementType::Int64, dims, source }
    }

    /// The same under a name.
    pub(super) fn named(self, name: &str) -> Weight {
        Weight { name: name.into(), ..self }
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> usize {
        Shape::new(&self.dims).elements().unwrap_or(usize::MAX)
    }

    /// The weight as ONNX holds it.
    pub(super) fn constant(&self) -> Result<Constant, ConvertError> {
        let data = match &self.source {
            Source::Memory(bytes) => ConstantData::Raw(bytes.clone()),
            Source::Strings(values) => ConstantData::Strings(values.clone()),
            Source::File { input, offset, len } => ConstantData::Raw(input.read(*offset, *len)?),
        };
        let (element_type, dims) = (self.element_type, self.dims.clone());
        Ok(Constant { name: self.name.clone(), element_type, dims, data })
    }

    /// The weight as evaluators hold it.
    pub(super) fn array(&self) -> Result<Array, EvaluateError> {
        if let Source::Strings(values) = &self.source {
            return Array::new(self.element_type, &self.dims, Data::Strings(values.clone()));
        }
        let constant = self.constant().map_err(|error| EvaluateError::new(error.to_string()))?;
        if self.element_type == ElementType::Complex64 {
            // Complex numbers are pairs of floats here, in one more dimension.
            let dims = [self.dims.as_slice(), &[2]].concat();
            let pairs = Constant { element_type: ElementType::Float32, dims, ..constant };
            return Array::from_constant(&pairs);
        }
        Array::from_constant(&constant)
    }
}

/// The sizes of a shape that is known, and how many elements it has.
pub(super) fn fixed(shape: Option<&TensorShapeProto>) -> Result<(Vec<usize>, usize), String> {
    let shape = shape.map_or(&[][..], |shape| &shape.dims);
    let dims: Option<Vec<usize>> = shape.iter().map(|dim| usize::try_from(dim.size).ok()).collect();
    let dims = dims.ok_or("its shape is not known")?;
    let elements = Shape::new(&dims).elements().ok_or("its shape is too large")?;
    Ok((dims, elements))
}

/// The bytes of elements that are listed by their kind.
fn listed(tensor: &TensorProto, kind: ElementType, elements: usize) -> Result<Bytes, String> {
    fn all<T, const N: usize>(
        values: &[T],
        elements: usize,
        bytes: impl Fn(&T) -> [u8; N],
    ) -> Result<Bytes, String> {
        Ok(repeated(values, elements, N, bytes)?.as_flattened().to_vec().into())
    }
    match kind {
        ElementType::Float32 => all(&tensor.floats, elements, |item| item.to_le_bytes()),
        ElementType::Float64 => all(&tensor.doubles, elements, |item| item.to_le_bytes()),
        ElementType::Bool => all(&tensor.bools, elements, |&item| [u8::from(item)]),
        ElementType::Int64 => all(&tensor.longs, elements, |item| item.to_le_bytes()),
        ElementType::Uint32 => all(&tensor.uints, elements, |item| item.to_le_bytes()),
        ElementType::Uint64 => all(&tensor.ulongs, elements, |item| item.to_le_bytes()),
        ElementType::Float16 | ElementType::Bfloat16 => {
            all(&tensor.halves, elements, |&item| (item as u16).to_le_bytes())
        }
        ElementType::Int8 | ElementType::Uint8 => all(&tensor.ints, elements, |&item| [item as u8]),
        ElementType::Int16 | ElementType::Uint16 => {
            all(&tensor.ints, elements, |&item| (item as u16).to_le_bytes())
        }
        ElementType::Int32 => all(&tensor.ints, elements, |item| item.to_le_bytes()),
        _ if elements == 0 => Ok(Bytes::new()),
        other => Err(format!("elements of type {other} are listed in a way that is not known")),
    }
}

/// As many elements as the shape asks for: the last one listed stands for all that follow, and none
/// at all for zeros.
fn repeated<T, U: Clone + ZeroOr<T>>(
    values: &[T],
    elements: usize,
    bytes_each: usize,
    each: impl Fn(&T) -> U,
) -> Result<Vec<U>, String> {
    if values.len() > elements {
        return Err(format!("expected {elements} elements, found {}", values.len()));
    }
    let missing = elements - values.len();
    if missing.saturating_mul(bytes_each) > MAX_REPEATED_BYTES {
        return Err(format!("one value is repeated {missing} times, which is too large"));
    }
    let mut found: Vec<U> = values.iter().map(each).collect();
    let last = found.last().cloned().unwrap_or_else(U::zero);
    found.resize(elements, last);
    Ok(found)
}

/// What stands for zero.
trait ZeroOr<T> {
    fn zero() -> Self;
}

impl<T, const N: usize> ZeroOr<T> for [u8; N] {
    fn zero() -> Self {
        [0; N]
    }
}

impl ZeroOr<Bytes> for Bytes {
    fn zero() -> Self {
        Bytes::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensorflow::proto::DimProto;

    fn shape(dims: &[i64]) -> Option<TensorShapeProto> {
        let dims = dims.iter().map(|&size| DimProto { size }).collect();
        Some(TensorShapeProto { dims, unknown_rank: false })
    }

    #[test]
    fn the_last_value_is_repeated() {
        let tensor =
            TensorProto { dtype: 1, shape: shape(&[3]), floats: vec![1.0, 2.0], ..<_>::default() };
        let weight = Weight::of_proto(&tensor, &Limits::default()).unwrap();
        assert_eq!(weight.array().unwrap().as_floats().unwrap(), [1.0, 2.0, 2.0]);
        let zeros = TensorProto { dtype: 3, shape: shape(&[2]), ..<_>::default() };
        let weight = Weight::of_proto(&zeros, &Limits::default()).unwrap();
        assert_eq!(weight.array().unwrap().as_ints().unwrap(), [0, 0]);
    }

    #[test]
    fn a_small_file_makes_no_large_constant() {
        let tensor = TensorProto {
            dtype: 1,
            shape: shape(&[1 << 20, 1 << 20]),
            floats: vec![1.0],
            ..<_>::default()
        };
        assert!(Weight::of_proto(&tensor, &Limits::default()).is_err());
        let negative = TensorProto { dtype: 1, shape: shape(&[-1]), ..<_>::default() };
        assert!(Weight::of_proto(&negative, &Limits::default()).is_err());
    }
}
