//! What flows through a graph in training: arrays of floats, integers or booleans.

use std::sync::Arc;

use half::{bf16, f16};
use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::Shape;

use crate::OpError;

/// A dense array, row-major. Clones share the elements.
///
/// Training knows three kinds of elements: every float type is computed as `f32`, every integer
/// type as `i64`. A value that was quantized holds its integers as floats, so that a gradient can
/// pass through it.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Shape,
    data: Data,
}

/// The elements of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Real numbers.
    Floats(Arc<Vec<f32>>),
    /// Whole numbers: shapes, indices, classes.
    Ints(Arc<Vec<i64>>),
    /// Truth values.
    Bools(Arc<Vec<bool>>),
}

impl Array {
    /// An array of floats.
    ///
    /// # Panics
    /// When the shape asks for another number of elements: a fault of the caller.
    pub fn floats(shape: impl Into<Shape>, values: Vec<f32>) -> Array {
        Array::new(shape.into(), values.len(), Data::Floats(Arc::new(values)))
    }

    /// An array of integers. Panics as [`Array::floats`] does.
    pub fn ints(shape: impl Into<Shape>, values: Vec<i64>) -> Array {
        Array::new(shape.into(), values.len(), Data::Ints(Arc::new(values)))
    }

    /// An array of booleans. Panics as [`Array::floats`] does.
    pub fn bools(shape: impl Into<Shape>, values: Vec<bool>) -> Array {
        Array::new(shape.into(), values.len(), Data::Bools(Arc::new(values)))
    }

    /// One float without dimensions.
    pub fn scalar(value: f32) -> Array {
        Array::floats(Shape::default(), vec![value])
    }

    fn new(shape: Shape, found: usize, data: Data) -> Array {
        assert_eq!(
            shape.elements(),
            Some(found),
            "an array of shape {shape} has that many elements"
        );
        Array { shape, data }
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Floats(values) => values.len(),
            Data::Ints(values) => values.len(),
            Data::Bools(values) => values.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements without their shape.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// Bytes that the elements take.
    pub fn byte_len(&self) -> usize {
        match &self.data {
            Data::Floats(values) => 4 * values.len(),
            Data::Ints(values) => 8 * values.len(),
            Data::Bools(values) => values.len(),
        }
    }

    /// The elements as floats, or an error that says what they are.
    pub fn as_floats(&self) -> Result<&[f32], OpError> {
        match &self.data {
            Data::Floats(values) => Ok(values),
            _ => Err(self.wrong("floats")),
        }
    }

    /// The elements as integers, or an error that says what they are.
    pub fn as_ints(&self) -> Result<&[i64], OpError> {
        match &self.data {
            Data::Ints(values) => Ok(values),
            _ => Err(self.wrong("integers")),
        }
    }

    /// The elements as booleans, or an error that says what they are.
    pub fn as_bools(&self) -> Result<&[bool], OpError> {
        match &self.data {
            Data::Bools(values) => Ok(values),
            _ => Err(self.wrong("booleans")),
        }
    }

    /// The floats themselves; copied only where others share them.
    pub fn into_floats(self) -> Result<Vec<f32>, OpError> {
        match self.data {
            Data::Floats(values) => Ok(Arc::unwrap_or_clone(values)),
            _ => Err(self.wrong("floats")),
        }
    }

    /// The floats for changing in place; copied first where others share them.
    pub fn floats_mut(&mut self) -> Result<&mut Vec<f32>, OpError> {
        match &mut self.data {
            Data::Floats(values) => Ok(Arc::make_mut(values)),
            Data::Ints(_) | Data::Bools(_) => Err(OpError::new("expected floats")),
        }
    }

    /// The same elements under another shape of as many.
    ///
    /// # Panics
    /// When the number of elements differs.
    pub fn reshaped(self, shape: impl Into<Shape>) -> Array {
        let found = self.len();
        Array::new(shape.into(), found, self.data)
    }

    /// These rows of the first dimension, each below its size, in this order.
    pub fn rows(&self, numbers: &[usize]) -> Array {
        fn gather<T: Copy>(values: &[T], size: usize, numbers: &[usize]) -> Vec<T> {
            let mut rows = Vec::with_capacity(size * numbers.len());
            for &number in numbers {
                rows.extend_from_slice(&values[number * size..][..size]);
            }
            rows
        }
        let shape = self.shape.with_rows(numbers.len());
        let size = shape.iter().skip(1).product();
        match &self.data {
            Data::Floats(values) => Array::floats(shape, gather(values, size, numbers)),
            Data::Ints(values) => Array::ints(shape, gather(values, size, numbers)),
            Data::Bools(values) => Array::bools(shape, gather(values, size, numbers)),
        }
    }

    /// The rows of this array and then those of another, which differs by the first dimension
    /// only.
    pub fn joined(&self, other: &Array) -> Result<Array, OpError> {
        fn chain<T: Copy>(one: &[T], two: &[T]) -> Vec<T> {
            [one, two].concat()
        }
        let rows = |array: &Array| array.shape.first().copied().unwrap_or(0);
        let shape = self.shape.with_rows(rows(self) + rows(other));
        let alike = self.shape.get(1..) == other.shape.get(1..);
        match (&self.data, &other.data) {
            (Data::Floats(a), Data::Floats(b)) if alike => Ok(Array::floats(shape, chain(a, b))),
            (Data::Ints(a), Data::Ints(b)) if alike => Ok(Array::ints(shape, chain(a, b))),
            (Data::Bools(a), Data::Bools(b)) if alike => Ok(Array::bools(shape, chain(a, b))),
            _ => Err(OpError::new(format!(
                "expected rows alike, found {} of shape {} and {} of shape {}",
                self.kind(),
                self.shape,
                other.kind(),
                other.shape
            ))),
        }
    }

    /// What the elements are, for errors.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Floats(_) => "floats",
            Data::Ints(_) => "integers",
            Data::Bools(_) => "booleans",
        }
    }

    fn wrong(&self, expected: &str) -> OpError {
        OpError::new(format!("expected {expected}, found {} of shape {}", self.kind(), self.shape))
    }

    /// A constant of a model. `None` for external data, strings and types that training does not
    /// know.
    pub fn from_constant(constant: &Constant) -> Option<Array> {
        let bytes = constant.bytes()?;
        let shape = Shape::new(&constant.dims);
        shape.elements()?;
        macro_rules! widen {
            ($kind:ident, $from:ty, $convert:expr) => {
                Array::$kind(
                    shape,
                    bytes
                        .as_chunks()
                        .0
                        .iter()
                        .map(|&item| $convert(<$from>::from_le_bytes(item)))
                        .collect(),
                )
            };
        }
        Some(match constant.element_type {
            ElementType::Float32 => widen!(floats, f32, |item| item),
            ElementType::Float64 => widen!(floats, f64, |item| item as f32),
            ElementType::Float16 => widen!(floats, f16, f16::to_f32),
            ElementType::Bfloat16 => widen!(floats, bf16, bf16::to_f32),
            ElementType::Int64 => widen!(ints, i64, |item| item),
            ElementType::Int32 => widen!(ints, i32, i64::from),
            ElementType::Int16 => widen!(ints, i16, i64::from),
            ElementType::Int8 => widen!(ints, i8, i64::from),
            ElementType::Uint8 => widen!(ints, u8, i64::from),
            ElementType::Uint16 => widen!(ints, u16, i64::from),
            ElementType::Uint32 => widen!(ints, u32, i64::from),
            ElementType::Bool => Array::bools(shape, bytes.iter().map(|&item| item != 0).collect()),
            _ => return None,
        })
    }

    /// The array as a constant of this name and type. `None` where its elements cannot be of that
    /// type; floats that the type cannot hold are rounded to it.
    pub fn to_constant(&self, name: &str, element_type: ElementType) -> Option<Constant> {
        let bytes: Vec<u8> = match (&self.data, element_type) {
            (Data::Floats(values), ElementType::Float32) => {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            (Data::Floats(values), ElementType::Float64) => {
                values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect()
            }
            (Data::Floats(values), ElementType::Float16) => {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            (Data::Floats(values), ElementType::Bfloat16) => {
                values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
            }
            (Data::Ints(values), ElementType::Int64) => {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            _ => return None,
        };
        Some(Constant::raw(name, element_type, &self.shape, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_keep_their_type_on_the_way_there_and_back() {
        for element_type in [ElementType::Float32, ElementType::Float16, ElementType::Bfloat16] {
            let array = Array::floats([2, 2], vec![0.5, -1.0, 2.0, 0.0]);
            let constant = array.to_constant("w", element_type).unwrap();
            assert_eq!(constant.element_type, element_type);
            assert_eq!(Array::from_constant(&constant), Some(array));
        }
    }

    #[test]
    fn elements_of_another_kind_are_refused_by_name() {
        let error = Array::ints([2], vec![1, 2]).as_floats().unwrap_err();
        assert_eq!(error.to_string(), "expected floats, found integers of shape [2]");
    }

    #[test]
    fn a_shared_array_is_copied_before_it_changes() {
        let mut array = Array::floats([1], vec![1.0]);
        let shared = array.clone();
        array.floats_mut().unwrap()[0] = 2.0;
        assert_eq!(shared.as_floats().unwrap(), [1.0]);
    }
}
