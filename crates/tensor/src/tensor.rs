//! Tensors: a datatype, a shape and bytes.

use std::borrow::Cow;

use bytes::Bytes;

use crate::strings::{self, StringsError};
use crate::{DataType, Element, Shape};

/// An owned, cheaply cloned tensor: row-major, little-endian, `BYTES` as in [`crate::strings`].
///
/// The number of bytes always agrees with datatype and shape. The memory is shared and
/// read-only, so a tensor can be sliced and sent without copying.
#[derive(Clone, Debug)]
pub struct Tensor {
    data_type: DataType,
    shape: Shape,
    data: Bytes,
}

/// Bytes that do not agree with datatype and shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TensorError {
    #[error("shape {0} has more elements than memory can address")]
    TooLarge(Shape),
    #[error("{data_type} data of shape {shape} takes {expected} bytes, but {found} were given")]
    Length { data_type: DataType, shape: Shape, expected: usize, found: usize },
    #[error(transparent)]
    Strings(#[from] StringsError),
    #[error("the tensor holds {found} elements, not {expected}")]
    DataType { expected: DataType, found: DataType },
}

impl Tensor {
    /// A tensor of these bytes, when they agree with datatype and shape.
    pub fn new(data_type: DataType, shape: Shape, data: Bytes) -> Result<Self, TensorError> {
        check(data_type, &shape, &data)?;
        Ok(Tensor { data_type, shape, data })
    }

    /// A tensor of these values, without copying them.
    pub fn from_vec<T: Element>(shape: Shape, values: Vec<T>) -> Result<Self, TensorError> {
        Tensor::new(T::DATA_TYPE, shape, Bytes::from_owner(Values(values)))
    }

    /// A `BYTES` tensor of these elements.
    pub fn from_strings<S: AsRef<[u8]>>(
        shape: Shape,
        elements: impl IntoIterator<Item = S>,
    ) -> Result<Self, TensorError> {
        Tensor::new(DataType::Bytes, shape, strings::encode(elements))
    }

    /// What the elements are.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The bytes, shared.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Takes the bytes out.
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// A borrowed view. Aligned only if the bytes are.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { data_type: self.data_type, shape: &self.shape, data: &self.data }
    }

    /// The elements as `T`; copies only when the bytes are not aligned for it. `BOOL` reads as
    /// `u8`.
    pub fn values<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        let same = self.data_type == T::DATA_TYPE
            || (self.data_type == DataType::Bool && T::DATA_TYPE == DataType::Uint8);
        if !same {
            return Err(TensorError::DataType { expected: T::DATA_TYPE, found: self.data_type });
        }
        Ok(match bytemuck::try_cast_slice(&self.data) {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(&self.data)),
        })
    }

    /// The elements of a tensor of floats, whatever their width; `None` for other datatypes.
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        match self.data_type {
            DataType::Fp16 => self.widened(half::f16::to_f64),
            DataType::Bf16 => self.widened(half::bf16::to_f64),
            DataType::Fp32 => self.widened(<f64 as From<f32>>::from),
            DataType::Fp64 => self.widened(|value: f64| value),
            _ => None,
        }
    }

    fn widened<T: Element>(&self, widen: impl Fn(T) -> f64) -> Option<Vec<f64>> {
        Some(self.values::<T>().ok()?.iter().map(|&value| widen(value)).collect())
    }

    /// The same bytes under another shape with as many elements.
    pub fn reshaped(self, shape: Shape) -> Result<Self, TensorError> {
        Tensor::new(self.data_type, shape, self.data)
    }

    /// Rows `start..start + count` along the outermost dimension, sharing the memory.
    ///
    /// `None` when the tensor is a scalar, a `BYTES` tensor or has fewer rows.
    pub fn rows(&self, start: usize, count: usize) -> Option<Tensor> {
        let rows = *self.shape.first()?;
        let size = self.data_type.size()?;
        if start.checked_add(count)? > rows {
            return None;
        }
        let row_bytes = self.shape.dims()[1..].iter().product::<usize>() * size;
        let data = self.data.slice(start * row_bytes..(start + count) * row_bytes);
        Some(Tensor { data_type: self.data_type, shape: self.shape.with_rows(count), data })
    }
}

/// A borrowed tensor, as engines take it.
///
/// Row-major, little-endian. Who hands one to an engine makes sure that `data` is as long as
/// datatype and shape say and aligned to the element size (see [`crate::AlignedBuffer`]).
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// What the elements are.
    pub data_type: DataType,
    /// The dimensions.
    pub shape: &'a [usize],
    /// The bytes.
    pub data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// The elements as `T`, or `None` when the datatype is another or the bytes are misaligned.
    pub fn values<T: Element>(&self) -> Option<&'a [T]> {
        let same = self.data_type == T::DATA_TYPE
            || (self.data_type == DataType::Bool && T::DATA_TYPE == DataType::Uint8);
        if same { bytemuck::try_cast_slice(self.data).ok() } else { None }
    }
}

fn check(data_type: DataType, shape: &Shape, data: &[u8]) -> Result<(), TensorError> {
    let elements = shape.elements().ok_or_else(|| TensorError::TooLarge(shape.clone()))?;
    if data_type == DataType::Bytes {
        return Ok(strings::check(data, elements)?);
    }
    let expected = shape.byte_len(data_type).ok_or_else(|| TensorError::TooLarge(shape.clone()))?;
    if data.len() != expected {
        let (shape, found) = (shape.clone(), data.len());
        return Err(TensorError::Length { data_type, shape, expected, found });
    }
    Ok(())
}

/// Lets `Bytes` own a vector of any element type.
struct Values<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for Values<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_must_agree() {
        let error = Tensor::new(DataType::Fp32, [2, 2].into(), Bytes::from_static(&[0; 15]));
        assert_eq!(
            error.unwrap_err().to_string(),
            "FP32 data of shape [2,2] takes 16 bytes, but 15 were given"
        );
        let huge = Tensor::new(DataType::Fp32, [usize::MAX, 8].into(), Bytes::new());
        assert!(matches!(huge, Err(TensorError::TooLarge(_))));
    }

    #[test]
    fn rows_share_memory() {
        let tensor = Tensor::from_vec([3, 2].into(), vec![0f32, 1., 2., 3., 4., 5.]).unwrap();
        let middle = tensor.rows(1, 1).unwrap();
        assert_eq!(middle.shape().dims(), [1, 2]);
        assert_eq!(middle.values::<f32>().unwrap().as_ref(), [2., 3.]);
        assert_eq!(middle.data().as_ptr(), tensor.data()[8..].as_ptr());
        assert!(tensor.rows(2, 2).is_none());
    }

    #[test]
    fn floats_of_every_width_are_widened() {
        let halves = Tensor::from_vec([1].into(), vec![half::f16::from_f32(1.5)]).unwrap();
        assert_eq!(halves.to_f64s(), Some(vec![1.5]));
        let longs = Tensor::from_vec([1].into(), vec![1i64]).unwrap();
        assert_eq!(longs.to_f64s(), None);
    }

    #[test]
    fn misaligned_bytes_are_copied_not_misread() {
        let bytes = Bytes::from(vec![0u8; 9]).slice(1..9);
        let tensor = Tensor::new(DataType::Fp32, [2].into(), bytes).unwrap();
        assert_eq!(tensor.values::<f32>().unwrap().as_ref(), [0., 0.]);
        assert!(tensor.values::<i32>().is_err());
    }
}
