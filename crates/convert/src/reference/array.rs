//! What evaluators compute with.

use bytes::Bytes;
use half::{bf16, f16};
use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::{Shape, Tensor, strings};

use crate::EvaluateError;

/// A dense tensor: row-major elements of one type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// What the source says the elements are. Decides how results are rounded and wrapped.
    element_type: ElementType,
    dims: Vec<usize>,
    data: Data,
}

/// The elements of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// `float`, `float16` and `bfloat16`; the latter two hold only values of their type.
    Floats(Vec<f32>),
    /// `double`
    Doubles(Vec<f64>),
    /// All integers, each within the range of its type; `uint64` as its bits.
    Ints(Vec<i64>),
    /// `bool`
    Bools(Vec<bool>),
    /// `string`
    Strings(Vec<Bytes>),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Data::Floats(values) => values.len(),
            Data::Doubles(values) => values.len(),
            Data::Ints(values) => values.len(),
            Data::Bools(values) => values.len(),
            Data::Strings(values) => values.len(),
        }
    }
}

impl Array {
    /// An array of these elements; an error where they are not as many as the shape asks for, or of
    /// another kind than the type. Values are rounded or wrapped to the type.
    pub(crate) fn new(
        element_type: ElementType,
        dims: &[usize],
        data: Data,
    ) -> Result<Array, EvaluateError> {
        if Shape::new(dims).elements() != Some(data.len()) {
            let found = data.len();
            return Err(EvaluateError::new(format!("shape {dims:?} cannot hold {found} elements")));
        }
        let data = match (element_type, data) {
            (ElementType::Float32, data @ Data::Floats(_))
            | (ElementType::Float64, data @ Data::Doubles(_))
            | (ElementType::Bool, data @ Data::Bools(_))
            | (ElementType::String, data @ Data::Strings(_))
            | (ElementType::Int64 | ElementType::Uint64, data @ Data::Ints(_)) => data,
            (ElementType::Float16, Data::Floats(values)) => {
                Data::Floats(values.into_iter().map(|value| f16::from_f32(value).into()).collect())
            }
            (ElementType::Bfloat16, Data::Floats(values)) => {
                Data::Floats(values.into_iter().map(|value| bf16::from_f32(value).into()).collect())
            }
            (_, Data::Ints(values)) if is_integer(element_type) => {
                Data::Ints(values.into_iter().map(|value| wrapped(value, element_type)).collect())
            }
            (_, _) => {
                return Err(EvaluateError::new(format!(
                    "elements of type {element_type} came as another kind of number"
                )));
            }
        };
        Ok(Array { element_type, dims: dims.to_vec(), data })
    }

    /// Floats of 32 bits.
    pub(crate) fn floats(dims: &[usize], values: Vec<f32>) -> Result<Array, EvaluateError> {
        Array::new(ElementType::Float32, dims, Data::Floats(values))
    }

    /// Integers of 64 bits.
    pub(crate) fn ints(dims: &[usize], values: Vec<i64>) -> Result<Array, EvaluateError> {
        Array::new(ElementType::Int64, dims, Data::Ints(values))
    }

    /// Booleans.
    pub(crate) fn bools(dims: &[usize], values: Vec<bool>) -> Result<Array, EvaluateError> {
        Array::new(ElementType::Bool, dims, Data::Bools(values))
    }

    /// A float without dimensions.
    pub(crate) fn scalar(value: f32) -> Array {
        Array {
            element_type: ElementType::Float32,
            dims: Vec::new(),
            data: Data::Floats(vec![value]),
        }
    }

    /// What the elements are.
    pub(crate) fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The shape, outermost dimension first.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of dimensions.
    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    /// The elements.
    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, taken out.
    pub(crate) fn into_data(self) -> Data {
        self.data
    }

    /// The elements as 32-bit floats; an error for other kinds.
    pub(crate) fn as_floats(&self) -> Result<&[f32], EvaluateError> {
        match &self.data {
            Data::Floats(values) => Ok(values),
            _ => Err(self.expected("floats")),
        }
    }

    /// The elements as integers; an error for other kinds.
    pub(crate) fn as_ints(&self) -> Result<&[i64], EvaluateError> {
        match &self.data {
            Data::Ints(values) => Ok(values),
            _ => Err(self.expected("integers")),
        }
    }

    /// The elements as booleans; an error for other kinds.
    pub(crate) fn as_bools(&self) -> Result<&[bool], EvaluateError> {
        match &self.data {
            Data::Bools(values) => Ok(values),
            _ => Err(self.expected("booleans")),
        }
    }

    fn expected(&self, what: &str) -> EvaluateError {
        EvaluateError::new(format!("expected {what}, found elements of type {}", self.element_type))
    }

    /// The elements as numbers, whatever they are; booleans as 0 and 1. An error for strings.
    pub(crate) fn to_f64s(&self) -> Result<Vec<f64>, EvaluateError> {
        match &self.data {
            Data::Floats(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            Data::Doubles(values) => Ok(values.clone()),
            Data::Ints(values) => Ok(values.iter().map(|&value| value as f64).collect()),
            Data::Bools(values) => Ok(values.iter().map(|&value| f64::from(value)).collect()),
            Data::Strings(_) => Err(self.expected("numbers")),
        }
    }

    /// An array of this type from numbers: floats rounded to it, integers cut off and saturated,
    /// booleans by whether they are not zero.
    pub(crate) fn from_f64s(
        element_type: ElementType,
        dims: &[usize],
        values: Vec<f64>,
    ) -> Result<Array, EvaluateError> {
        let data = match element_type {
            ElementType::Float64 => Data::Doubles(values),
            ElementType::Bool => Data::Bools(values.iter().map(|&value| value != 0.0).collect()),
            found if is_integer(found) => {
                Data::Ints(values.iter().map(|&value| value as i64).collect())
            }
            _ => Data::Floats(values.iter().map(|&value| value as f32).collect()),
        };
        Array::new(element_type, dims, data)
    }

    /// The same elements in another shape of as many elements.
    pub(crate) fn reshaped(self, dims: &[usize]) -> Result<Array, EvaluateError> {
        if Shape::new(dims).elements() != Some(self.len()) {
            let found = &self.dims;
            return Err(EvaluateError::new(format!("cannot see shape {found:?} as {dims:?}")));
        }
        Ok(Array { dims: dims.to_vec(), ..self })
    }

    /// The array of a constant in memory. Quarter-bytes and the like are refused.
    pub(crate) fn from_constant(constant: &Constant) -> Result<Array, EvaluateError> {
        let no_value = || {
            let kind = constant.element_type;
            EvaluateError::new(format!("constant '{}' of type {kind} is not usable", constant.name))
        };
        let tensor = constant.to_tensor().ok_or_else(no_value)?;
        let array = Array::from_tensor(&tensor)?;
        Ok(Array { element_type: constant.element_type, ..array })
    }

    /// The array of a tensor.
    pub(crate) fn from_tensor(tensor: &Tensor) -> Result<Array, EvaluateError> {
        let element_type = ElementType::from(tensor.data_type());
        let dims: Vec<usize> = tensor.shape().dims().to_vec();
        let data = decode(element_type, tensor.data()).ok_or_else(|| {
            EvaluateError::new(format!("the bytes of a tensor of type {element_type} are cut off"))
        })?;
        Array::new(element_type, &dims, data)
    }

    /// The array as a tensor; an error where its type cannot travel.
    pub(crate) fn to_tensor(&self) -> Result<Tensor, EvaluateError> {
        let shape = Shape::new(&self.dims);
        let unusable = |error: modelyard_tensor::TensorError| EvaluateError::new(error.to_string());
        if let Data::Strings(values) = &self.data {
            return Tensor::from_strings(shape, values).map_err(unusable);
        }
        let data_type = self.element_type.data_type().ok_or_else(|| self.expected("a type"))?;
        Tensor::new(data_type, shape, encode(self.element_type, &self.data)).map_err(unusable)
    }
}

/// Whether elements of this type are integers.
pub(crate) fn is_integer(element_type: ElementType) -> bool {
    matches!(
        element_type,
        ElementType::Int8
            | ElementType::Int16
            | ElementType::Int32
            | ElementType::Int64
            | ElementType::Uint8
            | ElementType::Uint16
            | ElementType::Uint32
            | ElementType::Uint64
            | ElementType::Int4
            | ElementType::Uint4
    )
}

/// An integer cut to the bits of its type, as two's complement does.
fn wrapped(value: i64, element_type: ElementType) -> i64 {
    match element_type {
        ElementType::Int8 => i64::from(value as i8),
        ElementType::Int16 => i64::from(value as i16),
        ElementType::Int32 => i64::from(value as i32),
        ElementType::Uint8 => i64::from(value as u8),
        ElementType::Uint16 => i64::from(value as u16),
        ElementType::Uint32 => i64::from(value as u32),
        ElementType::Int4 => (value << 60) >> 60,
        ElementType::Uint4 => value & 15,
        _ => value,
    }
}

fn decode(element_type: ElementType, bytes: &Bytes) -> Option<Data> {
    fn each<T, const N: usize>(bytes: &[u8], item: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks().0.iter().map(|&chunk| item(chunk)).collect()
    }
    Some(match element_type {
        ElementType::Float32 => Data::Floats(each(bytes, f32::from_le_bytes)),
        ElementType::Float16 => Data::Floats(each(bytes, |item| f16::from_le_bytes(item).to_f32())),
        ElementType::Bfloat16 => {
            Data::Floats(each(bytes, |item| bf16::from_le_bytes(item).to_f32()))
        }
        ElementType::Float64 => Data::Doubles(each(bytes, f64::from_le_bytes)),
        ElementType::Int8 => Data::Ints(each(bytes, |item| i8::from_le_bytes(item).into())),
        ElementType::Int16 => Data::Ints(each(bytes, |item| i16::from_le_bytes(item).into())),
        ElementType::Int32 => Data::Ints(each(bytes, |item| i32::from_le_bytes(item).into())),
        ElementType::Int64 | ElementType::Uint64 => Data::Ints(each(bytes, i64::from_le_bytes)),
        ElementType::Uint8 => Data::Ints(each(bytes, |item| u8::from_le_bytes(item).into())),
        ElementType::Uint16 => Data::Ints(each(bytes, |item| u16::from_le_bytes(item).into())),
        ElementType::Uint32 => Data::Ints(each(bytes, |item| u32::from_le_bytes(item).into())),
        ElementType::Bool => Data::Bools(bytes.iter().map(|&byte| byte != 0).collect()),
        ElementType::String => {
            Data::Strings(strings::iter(bytes).map(|item| bytes.slice_ref(item)).collect())
        }
        _ => return None,
    })
}

fn encode(element_type: ElementType, data: &Data) -> Bytes {
    fn all<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&value| bytes(value)).collect()
    }
    let bytes = match (data, element_type) {
        (Data::Floats(values), ElementType::Float16) => {
            all(values, |value| f16::from_f32(value).to_le_bytes())
        }
        (Data::Floats(values), ElementType::Bfloat16) => {
            all(values, |value| bf16::from_f32(value).to_le_bytes())
        }
        (Data::Floats(values), _) => all(values, f32::to_le_bytes),
        (Data::Doubles(values), _) => all(values, f64::to_le_bytes),
        (Data::Bools(values), _) => values.iter().map(|&value| u8::from(value)).collect(),
        (Data::Ints(values), _) => match element_type.bits() {
            ..=8 => all(values, |value| [value as u8]),
            16 => all(values, |value| (value as u16).to_le_bytes()),
            32 => all(values, |value| (value as u32).to_le_bytes()),
            _ => all(values, i64::to_le_bytes),
        },
        (Data::Strings(_), _) => Vec::new(),
    };
    bytes.into()
}
