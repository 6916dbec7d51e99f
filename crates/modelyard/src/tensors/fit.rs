//! Making a tensor agree with what a model takes, or saying why it cannot.
//!
//! Datatypes: numbers are converted where no value changes, save that floats may be rounded to
//! narrower floats (NumPy's `float64` for an `FP32` input). Shapes: one example is taken for a
//! batch of one, and a flat list for the input's shape where there is only one way to fold it.

use std::cmp::Ordering;

use anyhow::bail;
use bytes::Bytes;
use half::{bf16, f16};
use modelyard_tensor::{DataType, Dim, Shape, Tensor, TensorSpec};

/// `tensor` as the input `spec` wants it.
pub(crate) fn fit(tensor: Tensor, spec: &TensorSpec) -> anyhow::Result<Tensor> {
    let tensor = converted(tensor, spec)?;
    if spec.accepts(tensor.shape()) {
        return Ok(tensor);
    }
    match shape_for(tensor.shape(), spec) {
        Some(shape) => Ok(tensor.reshaped(shape)?),
        None => bail!(
            "input '{}' takes shape {}, but {} was given",
            spec.name,
            spec.shape_text(),
            tensor.shape()
        ),
    }
}

/// The shape that `found`, which does not fit as it is, can be taken for.
fn shape_for(found: &Shape, spec: &TensorSpec) -> Option<Shape> {
    let dims = spec.dims.as_ref()?;
    let one_more: Shape = [1].into_iter().chain(found.iter().copied()).collect();
    if spec.accepts(&one_more) {
        return Some(one_more);
    }
    let flat = found.len() == 1 || found.is_empty();
    if flat { folded(found.elements()?, dims) } else { None }
}

/// `elements` folded into `dims`. A leading free dimension is 1 where that works; of others, one
/// may be free.
fn folded(elements: usize, dims: &[Dim]) -> Option<Shape> {
    let mut sizes: Vec<Option<usize>> = dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Symbol(_) | Dim::Free => None,
        })
        .collect();
    let known = |sizes: &[Option<usize>]| {
        sizes.iter().flatten().try_fold(1usize, |product, &size| product.checked_mul(size))
    };
    let free = sizes.iter().filter(|size| size.is_none()).count();
    let batch_of_one = free > 1 || known(&sizes) == Some(elements);
    if let Some(first @ None) = sizes.first_mut()
        && batch_of_one
    {
        *first = Some(1);
    }
    let product = known(&sizes)?;
    let mut open = sizes.iter_mut().filter(|size| size.is_none());
    match (open.next(), open.next()) {
        (None, _) => (product == elements).then_some(())?,
        (Some(size), None) if product > 0 && elements.is_multiple_of(product) => {
            *size = Some(elements / product);
        }
        _ => return None,
    }
    drop(open);
    sizes.into_iter().collect::<Option<Vec<usize>>>().map(|dims| Shape::new(&dims))
}

/// `tensor` with the datatype that `spec` wants.
fn converted(tensor: Tensor, spec: &TensorSpec) -> anyhow::Result<Tensor> {
    let (from, to) = (tensor.data_type(), spec.data_type);
    if from == to {
        return Ok(tensor);
    }
    if from == DataType::Bytes || to == DataType::Bytes {
        bail!("input '{}' takes {to}, but {from} was given", spec.name);
    }
    let data = convert(tensor.data(), from, to).map_err(|value| {
        anyhow::anyhow!(
            "input '{}' takes {to}, which cannot hold the {from} value {value}",
            spec.name
        )
    })?;
    Ok(Tensor::new(to, tensor.shape().clone(), data)?)
}

/// One number, wide enough for any datatype.
#[derive(Clone, Copy, Debug)]
enum Value {
    Integer(i128),
    Float(f64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Integer(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
        }
    }
}

fn convert(data: &[u8], from: DataType, to: DataType) -> Result<Bytes, Value> {
    let size = from.size().expect("BYTES were refused before");
    let mut out = Vec::with_capacity(data.len() / size * to.size().unwrap_or(1));
    for element in data.chunks_exact(size) {
        let value = load(element, from);
        store(value, to, &mut out).ok_or(value)?;
    }
    Ok(out.into())
}

fn load(element: &[u8], data_type: DataType) -> Value {
    macro_rules! read {
        ($rust:ty) => {
            bytemuck::pod_read_unaligned::<$rust>(element)
        };
    }
    match data_type {
        DataType::Bool => Value::Integer((read!(u8) != 0).into()),
        DataType::Uint8 | DataType::Bytes => Value::Integer(read!(u8).into()),
        DataType::Uint16 => Value::Integer(read!(u16).into()),
        DataType::Uint32 => Value::Integer(read!(u32).into()),
        DataType::Uint64 => Value::Integer(read!(u64).into()),
        DataType::Int8 => Value::Integer(read!(i8).into()),
        DataType::Int16 => Value::Integer(read!(i16).into()),
        DataType::Int32 => Value::Integer(read!(i32).into()),
        DataType::Int64 => Value::Integer(read!(i64).into()),
        DataType::Fp16 => Value::Float(read!(f16).into()),
        DataType::Bf16 => Value::Float(read!(bf16).into()),
        DataType::Fp32 => Value::Float(read!(f32).into()),
        DataType::Fp64 => Value::Float(read!(f64)),
    }
}

/// Appends `value`; `None` when `data_type` cannot hold it.
fn store(value: Value, data_type: DataType, out: &mut Vec<u8>) -> Option<()> {
    macro_rules! integer {
        ($rust:ty) => {{
            let Value::Integer(value) = value else { return None };
            out.extend_from_slice(&<$rust>::try_from(value).ok()?.to_le_bytes());
        }};
    }
    /// Floats may be rounded but not become infinite; integers must stay what they are.
    macro_rules! float {
        ($rust:ty, $narrow:expr) => {{
            let wide = match value {
                Value::Integer(value) => value as f64,
                Value::Float(value) => value,
            };
            let narrowed: $rust = $narrow(wide);
            let back = f64::from(narrowed);
            let kept = match value {
                Value::Integer(value) => {
                    back.is_finite() && (back as i128).cmp(&value) == Ordering::Equal
                }
                Value::Float(value) => back.is_finite() || !value.is_finite(),
            };
            kept.then(|| out.extend_from_slice(&narrowed.to_le_bytes()))?;
        }};
    }
    match data_type {
        DataType::Bool => match value {
            Value::Integer(value @ 0..=1) => out.push(value as u8),
            _ => return None,
        },
        DataType::Uint8 | DataType::Bytes => integer!(u8),
        DataType::Uint16 => integer!(u16),
        DataType::Uint32 => integer!(u32),
        DataType::Uint64 => integer!(u64),
        DataType::Int8 => integer!(i8),
        DataType::Int16 => integer!(i16),
        DataType::Int32 => integer!(i32),
        DataType::Int64 => integer!(i64),
        DataType::Fp16 => float!(f16, f16::from_f64),
        DataType::Bf16 => float!(bf16, bf16::from_f64),
        DataType::Fp32 => float!(f32, |wide| wide as f32),
        DataType::Fp64 => float!(f64, |wide| wide),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(data_type: DataType, dims: &[i64]) -> TensorSpec {
        let dim = |&size: &i64| usize::try_from(size).map_or(Dim::Free, Dim::Fixed);
        let dims = Some(dims.iter().map(dim).collect());
        TensorSpec { name: "x".into(), data_type, dims }
    }

    fn shape(found: &[usize], wanted: &[i64]) -> Option<Vec<usize>> {
        let elements = found.iter().product();
        let tensor = Tensor::from_vec(Shape::new(found), vec![0f32; elements]).unwrap();
        let fitted = fit(tensor, &spec(DataType::Fp32, wanted)).ok()?;
        Some(fitted.shape().dims().to_vec())
    }

    #[test]
    fn shapes_fold_where_there_is_one_way() {
        assert_eq!(shape(&[2, 784], &[-1, 784]), Some(vec![2, 784]));
        assert_eq!(shape(&[784], &[-1, 784]), Some(vec![1, 784]));
        assert_eq!(shape(&[1568], &[-1, 784]), Some(vec![2, 784]));
        assert_eq!(shape(&[784], &[-1, 1, 28, 28]), Some(vec![1, 1, 28, 28]));
        assert_eq!(shape(&[28, 28], &[1, 28, 28]), Some(vec![1, 28, 28]));
        assert_eq!(shape(&[6], &[-1, -1]), Some(vec![1, 6]));
        assert_eq!(shape(&[6], &[-1, -1, 3]), Some(vec![1, 2, 3]));
        assert_eq!(shape(&[6], &[2, 3]), Some(vec![2, 3]));
        assert_eq!(shape(&[], &[-1, 1]), Some(vec![1, 1]));
        assert_eq!(shape(&[783], &[-1, 784]), None);
        assert_eq!(shape(&[28, 28], &[-1, 784]), None);
        assert_eq!(shape(&[6], &[-1, -1, -1]), None);
        assert_eq!(shape(&[6], &[-1, 0]), None);
    }

    #[test]
    fn a_wrong_shape_names_both() {
        let tensor = Tensor::from_vec([3, 5].into(), vec![0f32; 15]).unwrap();
        let error = fit(tensor, &spec(DataType::Fp32, &[-1, 784])).unwrap_err();
        assert_eq!(error.to_string(), "input 'x' takes shape [?,784], but [3,5] was given");
    }

    #[test]
    fn numbers_convert_where_no_value_changes() {
        let floats = Tensor::from_vec([3].into(), vec![0.1f64, f64::NAN, f64::INFINITY]).unwrap();
        let fitted = fit(floats, &spec(DataType::Fp32, &[-1])).unwrap();
        let values = fitted.values::<f32>().unwrap();
        assert!(values[0] == 0.1 && values[1].is_nan() && values[2].is_infinite());
        let integers = Tensor::from_vec([2].into(), vec![255i64, 0]).unwrap();
        let fitted = fit(integers, &spec(DataType::Uint8, &[-1])).unwrap();
        assert_eq!(fitted.values::<u8>().unwrap().as_ref(), [255, 0]);
    }

    #[test]
    fn numbers_that_would_change_are_refused() {
        let refusal =
            |tensor, data_type| fit(tensor, &spec(data_type, &[-1])).unwrap_err().to_string();
        let integer = |value: i64| Tensor::from_vec([1].into(), vec![value]).unwrap();
        let float = |value: f64| Tensor::from_vec([1].into(), vec![value]).unwrap();
        assert_eq!(
            refusal(integer(256), DataType::Uint8),
            "input 'x' takes UINT8, which cannot hold the INT64 value 256"
        );
        assert!(refusal(integer((1 << 24) + 1), DataType::Fp32).contains("cannot hold"));
        assert!(refusal(integer(i64::MAX), DataType::Fp64).contains("cannot hold"));
        assert!(refusal(float(1e39), DataType::Fp32).contains("cannot hold"));
        assert!(refusal(float(1.0), DataType::Int32).contains("cannot hold"));
        let text = Tensor::from_strings([1].into(), ["a"]).unwrap();
        assert_eq!(refusal(text, DataType::Fp32), "input 'x' takes FP32, but BYTES was given");
    }
}
