//! Constants of ONNX as tensors of TensorFlow.

use bytes::Bytes;
use modelyard_graph::{Constant, ConstantData, ElementType};

use super::value::Refusal;
use crate::tensorflow::dtype;
use crate::tensorflow::proto::{DimProto, TensorProto, TensorShapeProto};

/// The constant as a message; the bytes are shared.
pub(super) fn tensor(constant: &Constant) -> Result<TensorProto, Refusal> {
    let sizes = constant.dims.iter().map(|&size| DimProto { size: size as i64 });
    let shape = Some(TensorShapeProto { dims: sizes.collect(), unknown_rank: false });
    let number = dtype::number(constant.element_type).ok_or_else(|| untyped(constant))?;
    let message = TensorProto { dtype: number, shape, ..TensorProto::default() };
    Ok(match &constant.data {
        ConstantData::Strings(strings) => TensorProto { strings: strings.clone(), ..message },
        _ => TensorProto { content: bytes(constant)?, ..message },
    })
}

/// The elements as little-endian bytes.
pub(super) fn bytes(constant: &Constant) -> Result<Bytes, Refusal> {
    constant.bytes().ok_or_else(|| {
        let way_out = "keep its external data beside the model";
        Refusal::new(format!("the constant '{}' without its elements", constant.name), way_out)
    })
}

fn untyped(constant: &Constant) -> Refusal {
    let reason = format!("the type {} of '{}'", constant.element_type, constant.name);
    Refusal::new(reason, "TensorFlow has no such type; widen the weights")
}

/// The elements as 64-bit floats.
pub(super) fn numbers(constant: &Constant) -> Result<Vec<f64>, Refusal> {
    let array = crate::reference::Array::from_constant(constant);
    let found = array.and_then(|array| array.to_f64s());
    found.map_err(|error| Refusal::new(format!("'{}': {error}", constant.name), ""))
}

/// Floats of this type.
pub(super) fn of_numbers(
    name: &str,
    element_type: ElementType,
    dims: &[usize],
    values: &[f64],
) -> Result<Constant, Refusal> {
    let array = crate::reference::Array::from_f64s(element_type, dims, values.to_vec());
    let tensor = array.and_then(|array| array.to_tensor());
    let tensor = tensor.map_err(|error| Refusal::new(error.to_string(), ""))?;
    Ok(Constant::raw(name, element_type, dims, tensor.data().clone()))
}

/// The same with its axes in another order.
pub(super) fn transposed(constant: &Constant, order: &[usize]) -> Result<Constant, Refusal> {
    let dims: Vec<usize> =
        order.iter().filter_map(|&axis| constant.dims.get(axis).copied()).collect();
    let width = constant.element_type.bits() / 8;
    if dims.len() != constant.dims.len() || width == 0 {
        let (rank, found) = (order.len(), &constant.dims);
        return Err(Refusal::new(format!("{rank} axes of a constant {found:?}"), ""));
    }
    let from = bytes(constant)?;
    let mut steps = vec![width; constant.dims.len()];
    for axis in (1..steps.len()).rev() {
        steps[axis - 1] = steps[axis].saturating_mul(constant.dims[axis]);
    }
    let steps: Vec<usize> = order.iter().map(|&axis| steps[axis]).collect();
    let mut to = Vec::with_capacity(from.len());
    gather(&from, (&dims, &steps), width, 0, &mut to);
    Ok(Constant::raw(&constant.name, constant.element_type, &dims, to))
}

/// Copies the elements of a strided view. It recurses over axes, of which there are few.
fn gather(
    from: &[u8],
    (dims, steps): (&[usize], &[usize]),
    width: usize,
    at: usize,
    to: &mut Vec<u8>,
) {
    match (dims, steps) {
        ([size, dims @ ..], [step, steps @ ..]) => {
            for index in 0..*size {
                gather(from, (dims, steps), width, at + index * step, to);
            }
        }
        _ => to.extend_from_slice(from.get(at..at + width).unwrap_or_default()),
    }
}

/// The same elements in another shape.
pub(super) fn reshaped(constant: &Constant, dims: &[usize]) -> Constant {
    Constant { dims: dims.to_vec(), ..constant.clone() }
}

/// The same with zeros between the elements of the leading axes: element `i` of an axis is at
/// `i * step`.
pub(super) fn dilated(constant: &Constant, steps: &[usize]) -> Result<Constant, Refusal> {
    let grown = |(axis, &size): (usize, &usize)| match steps.get(axis) {
        Some(&step) => size.saturating_sub(1).saturating_mul(step).saturating_add(1),
        None => size,
    };
    let dims: Vec<usize> = constant.dims.iter().enumerate().map(grown).collect();
    let width = constant.element_type.bits() / 8;
    let from = bytes(constant)?;
    let total = dims.iter().try_fold(width, |total, &size| total.checked_mul(size));
    let total = total.filter(|&total| total <= MOST_BYTES).ok_or_else(|| {
        Refusal::new(format!("a dilated filter of {dims:?}"), "use smaller dilations")
    })?;
    let mut to = vec![0; total];
    let inner: usize = constant.dims.iter().skip(steps.len()).product::<usize>() * width;
    if inner == 0 {
        return Ok(Constant::raw(&constant.name, constant.element_type, &dims, to));
    }
    for (index, run) in from.chunks(inner).enumerate() {
        let (mut rest, mut place, mut stride) = (index, 0, 1);
        for axis in (0..steps.len()).rev() {
            let size = constant.dims[axis].max(1);
            place += (rest % size) * steps[axis] * stride;
            rest /= size;
            stride *= dims[axis];
        }
        to[place * inner..place * inner + run.len()].copy_from_slice(run);
    }
    Ok(Constant::raw(&constant.name, constant.element_type, &dims, to))
}

/// Bytes that a dilated filter may have.
const MOST_BYTES: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_change_places() {
        let values: Vec<f32> = (0..6).map(|value| value as f32).collect();
        let found = transposed(&Constant::floats("x", &[2, 3], &values), &[1, 0]).unwrap();
        assert_eq!(found.dims, [3, 2]);
        assert_eq!(numbers(&found).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn zeros_go_between() {
        let found = dilated(&Constant::floats("x", &[2, 2, 1], &[1.0, 2.0, 3.0, 4.0]), &[2, 1]);
        let found = found.unwrap();
        assert_eq!(found.dims, [3, 2, 1]);
        assert_eq!(numbers(&found).unwrap(), [1.0, 2.0, 0.0, 0.0, 3.0, 4.0]);
    }
}
