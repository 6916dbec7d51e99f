//! Datatypes at the border of rten.
//!
//! rten computes in `f32`, `i32`, `i8` and `u8` only: it reads the model's `INT64` and `BOOL` as
//! `i32`, its `FP64` and `FP16` as `f32`. Here the tensors of the signature become those and
//! back. What does not fit is an error, never another number.

use std::borrow::Cow;

use bytemuck::Pod;
use half::{bf16, f16};
use modelyard_tensor::{AlignedBuffer, DataType, Shape, Tensor, TensorSpec, TensorView};
use rten::{Value, ValueOrView, ValueView};
use rten_tensor::prelude::*;

use crate::RunError;

/// The element types of rten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    F32,
    I32,
    I8,
    U8,
}

/// What stands for a datatype within rten; `None` when nothing can.
pub(super) fn inner(data_type: DataType) -> Option<Inner> {
    match data_type {
        DataType::Fp32 | DataType::Fp64 | DataType::Fp16 => Some(Inner::F32),
        DataType::Int32 | DataType::Int64 | DataType::Bool => Some(Inner::I32),
        DataType::Int8 => Some(Inner::I8),
        DataType::Uint8 => Some(Inner::U8),
        DataType::Int16
        | DataType::Uint16
        | DataType::Uint32
        | DataType::Uint64
        | DataType::Bf16
        | DataType::Bytes => None,
    }
}

/// An input as rten takes it: borrowed where the datatype is the same, else converted.
pub(super) fn input<'a>(
    spec: &TensorSpec,
    view: &TensorView<'a>,
) -> Result<ValueOrView<'a>, RunError> {
    let data = view.data;
    match view.data_type {
        DataType::Fp32 => borrowed::<f32>(view),
        DataType::Int32 => borrowed::<i32>(view),
        DataType::Int8 => borrowed::<i8>(view),
        DataType::Uint8 => borrowed::<u8>(view),
        DataType::Bool => {
            owned(view.shape, data.iter().map(|&byte| i32::from(byte != 0)).collect())
        }
        DataType::Int64 => owned(view.shape, narrowed(spec, &cast(data))?),
        DataType::Fp64 => owned(view.shape, rounded(spec, &cast(data))?),
        DataType::Fp16 => {
            owned(view.shape, cast::<f16>(data).iter().map(|value| value.to_f32()).collect())
        }
        other => Err(RunError::Failed(format!(
            "rten has no datatype {other}, which input '{}' has",
            spec.name
        ))),
    }
}

/// Refuses what is no number: `node` would make something plausible of it. See `amend::nan`.
pub(super) fn check_finite(
    spec: &TensorSpec,
    value: &ValueOrView<'_>,
    node: &str,
) -> Result<(), RunError> {
    let ValueView::FloatTensor(tensor) = value.as_view() else { return Ok(()) };
    let values = tensor.to_contiguous();
    let values = values.data();
    if all_finite(values) {
        return Ok(());
    }
    let found = values.iter().enumerate().find(|(_, value)| !value.is_finite());
    let (index, value) = found.unwrap_or((0, &f32::NAN));
    Err(RunError::Inputs(format!(
        "element {index} of input '{}' is {value}, and engine 'rten' would lose NaN in {node}; \
         send finite numbers, or use engine 'onnxruntime'",
        spec.name
    )))
}

/// In integers and without an early end, so that many values are looked at in one step: one more
/// in an exponent of all ones, which NaN and infinities have, carries into the sign.
fn all_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7F80_0000;
    const LOWEST: u32 = 0x0080_0000;
    let carried = |value: &f32| (value.to_bits() & EXPONENT).wrapping_add(LOWEST);
    values.iter().fold(0, |bits, value| bits | carried(value)) >> 31 == 0
}

/// The seam promises aligned bytes; an empty slice may yet point anywhere.
fn borrowed<'a, T: Pod>(view: &TensorView<'a>) -> Result<ValueOrView<'a>, RunError>
where
    ValueView<'a>: From<rten_tensor::TensorView<'a, T>>,
    Value: From<rten_tensor::Tensor<T>>,
{
    match bytemuck::try_cast_slice::<u8, T>(view.data) {
        Ok(values) => rten_tensor::TensorView::try_from_data(view.shape, values)
            .map(|tensor| ValueOrView::View(tensor.into()))
            .map_err(broken),
        Err(_) => owned(view.shape, bytemuck::pod_collect_to_vec(view.data)),
    }
}

fn owned<T>(shape: &[usize], values: Vec<T>) -> Result<ValueOrView<'static>, RunError>
where
    Value: From<rten_tensor::Tensor<T>>,
{
    rten_tensor::Tensor::try_from_data(shape, values)
        .map(|tensor| ValueOrView::Value(tensor.into()))
        .map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> RunError {
    RunError::Failed(format!("a tensor does not agree with its shape: {error}"))
}

fn cast<T: Pod>(data: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(data) {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(data)),
    }
}

fn narrowed(spec: &TensorSpec, values: &[i64]) -> Result<Vec<i32>, RunError> {
    values
        .iter()
        .map(|&value| {
            i32::try_from(value).map_err(|_| {
                RunError::Inputs(format!(
                    "input '{}' holds {value}; engine 'rten' computes INT64 in 32 bits and takes \
                     values from {} to {}",
                    spec.name,
                    i32::MIN,
                    i32::MAX
                ))
            })
        })
        .collect()
}

/// Rounding loses digits, as computing in 32 bits does anyway; it must not lose the value.
fn rounded(spec: &TensorSpec, values: &[f64]) -> Result<Vec<f32>, RunError> {
    values
        .iter()
        .map(|&value| {
            let rounded = value as f32;
            if rounded.is_infinite() && value.is_finite() {
                return Err(RunError::Inputs(format!(
                    "input '{}' holds {value:e}; engine 'rten' computes FP64 in 32 bits and takes \
                     values from {:e} to {:e}",
                    spec.name,
                    f32::MIN,
                    f32::MAX
                )));
            }
            Ok(rounded)
        })
        .collect()
}

/// An output as the signature says; its memory is rten's own where the datatype is the same.
///
/// A rank that is not the signature's is an error of the engine: see `admission`.
pub(super) fn output(spec: &TensorSpec, value: Value) -> Result<Tensor, RunError> {
    if let Some(dims) = spec.dims.as_ref().filter(|dims| dims.len() != value.ndim()) {
        return Err(RunError::Failed(format!(
            "output '{}' came out of rten with {} dimensions, but the model says {}",
            spec.name,
            value.ndim(),
            dims.len()
        )));
    }
    match (value, spec.data_type) {
        (Value::FloatTensor(tensor), DataType::Fp32) => kept(tensor),
        (Value::Int32Tensor(tensor), DataType::Int32) => kept(tensor),
        (Value::Int8Tensor(tensor), DataType::Int8) => kept(tensor),
        (Value::UInt8Tensor(tensor), DataType::Uint8) => kept(tensor),
        (Value::FloatTensor(tensor), DataType::Fp64) => converted(spec, tensor, f64::from),
        (Value::FloatTensor(tensor), DataType::Fp16) => converted(spec, tensor, f16::from_f32),
        (Value::FloatTensor(tensor), DataType::Bf16) => converted(spec, tensor, bf16::from_f32),
        (Value::Int32Tensor(tensor), DataType::Int64) => converted(spec, tensor, i64::from),
        (Value::Int32Tensor(tensor), DataType::Bool) => {
            converted(spec, tensor, |value| u8::from(value != 0))
        }
        (value, expected) => Err(RunError::Failed(format!(
            "output '{}' came out of rten as {:?}, but the model says {expected}",
            spec.name,
            value.dtype()
        ))),
    }
}

fn kept<T: modelyard_tensor::Element>(tensor: rten_tensor::Tensor<T>) -> Result<Tensor, RunError> {
    let shape = Shape::new(tensor.shape());
    Tensor::from_vec(shape, tensor.into_data()).map_err(broken)
}

fn converted<T: Copy, U: Pod>(
    spec: &TensorSpec,
    tensor: rten_tensor::Tensor<T>,
    convert: impl Fn(T) -> U,
) -> Result<Tensor, RunError> {
    let shape = Shape::new(tensor.shape());
    let mut buffer = AlignedBuffer::zeroed(std::mem::size_of::<U>() * tensor.len());
    let target: &mut [U] = bytemuck::cast_slice_mut(buffer.as_mut_slice());
    for (target, value) in target.iter_mut().zip(tensor.into_data()) {
        *target = convert(value);
    }
    Tensor::new(spec.data_type, shape, buffer.into_bytes()).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(data_type: DataType) -> TensorSpec {
        TensorSpec { name: "x".into(), data_type, dims: None }
    }

    fn round_trip(tensor: &Tensor) -> Result<Tensor, RunError> {
        let spec = spec(tensor.data_type());
        output(&spec, input(&spec, &tensor.view())?.into_owned())
    }

    #[test]
    fn every_datatype_that_rten_can_hold_comes_back_unchanged() {
        let tensors = [
            Tensor::from_vec([2].into(), vec![f32::NAN, -0.0]).unwrap(),
            Tensor::from_vec([2].into(), vec![1.5f64, f64::INFINITY]).unwrap(),
            Tensor::from_vec([2].into(), vec![f16::from_f32(1.5), f16::MAX]).unwrap(),
            Tensor::from_vec([2].into(), vec![i64::from(i32::MIN), 7]).unwrap(),
            Tensor::from_vec([2].into(), vec![i32::MIN, i32::MAX]).unwrap(),
            Tensor::from_vec([2].into(), vec![i8::MIN, i8::MAX]).unwrap(),
            Tensor::from_vec([2].into(), vec![0u8, 255]).unwrap(),
            Tensor::new(DataType::Bool, [2].into(), vec![1, 0].into()).unwrap(),
        ];
        for tensor in tensors {
            let back = round_trip(&tensor).unwrap();
            assert_eq!(back.data_type(), tensor.data_type());
            assert_eq!(back.data(), tensor.data(), "{}", tensor.data_type());
        }
    }

    #[test]
    fn wide_integers_are_refused_not_clamped() {
        for value in [i64::from(i32::MAX) + 1, i64::MIN] {
            let tensor = Tensor::from_vec([1].into(), vec![value]).unwrap();
            let error = round_trip(&tensor).unwrap_err();
            assert!(matches!(&error, RunError::Inputs(text) if text.contains(&value.to_string())));
        }
    }

    #[test]
    fn wide_floats_are_refused_not_made_infinite() {
        for value in [f64::MAX, -1e39] {
            let tensor = Tensor::from_vec([1].into(), vec![value]).unwrap();
            let error = round_trip(&tensor).unwrap_err();
            assert!(matches!(&error, RunError::Inputs(text) if text.contains("FP64")), "{error}");
        }
        let tensor = Tensor::from_vec([2].into(), vec![f64::NEG_INFINITY, 1e38]).unwrap();
        assert!(round_trip(&tensor).is_ok());
    }

    #[test]
    fn finite_is_what_is_a_number() {
        assert!(all_finite(&[]) && all_finite(&[0.0, -0.0, f32::MIN, f32::MAX, 1e-45]));
        for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[0.0, value, 1.0]), "{value}");
        }
    }

    #[test]
    fn exactly_the_representable_datatypes_are_let_in() {
        for data_type in DataType::ALL {
            let elements = [0usize];
            let view = TensorView { data_type, shape: &elements, data: &[] };
            assert_eq!(input(&spec(data_type), &view).is_ok(), inner(data_type).is_some());
        }
    }
}
