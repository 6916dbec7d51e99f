//! The elements of constants: in 32 bits, with their axes in another order, as real numbers.

use bytes::Bytes;
use modelyard_graph::{Constant, ElementType};

use super::stop::{Stop, refused};
use super::values::Stored;

/// Integers in 32 bits: what is beyond means "to the end".
pub(super) fn narrowed(values: &[i64]) -> Vec<i32> {
    let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX));
    values.iter().map(|&value| value.clamp(least, most) as i32).collect()
}

/// The elements of a constant, little-endian.
pub(super) fn elements(constant: &Constant) -> Result<Bytes, Stop> {
    let bytes = constant
        .bytes()
        .ok_or_else(|| refused(format!("constant '{}' without elements", constant.name), ""))?;
    if constant.byte_len() != Some(bytes.len()) {
        let reason = format!("constant '{}' of {} bytes", constant.name, bytes.len());
        return Err(refused(reason, "the model is damaged"));
    }
    Ok(bytes)
}

/// Elements of `size` bytes with their axes in another order, and the sizes of these.
pub(super) fn permuted(
    dims: &[usize],
    bytes: &Bytes,
    size: usize,
    order: &[usize],
) -> Option<(Vec<usize>, Bytes)> {
    match size {
        1 => moved::<1>(dims, bytes, order),
        2 => moved::<2>(dims, bytes, order),
        4 => moved::<4>(dims, bytes, order),
        8 => moved::<8>(dims, bytes, order),
        _ => None,
    }
}

fn moved<const N: usize>(
    dims: &[usize],
    bytes: &Bytes,
    order: &[usize],
) -> Option<(Vec<usize>, Bytes)> {
    if order.len() != dims.len() {
        return None;
    }
    let items: &[[u8; N]] = bytes.as_chunks().0;
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(dims[axis])?;
    }
    let at = |axis: &usize| Some((*dims.get(*axis)?, *strides.get(*axis)?));
    let axes: Vec<(usize, usize)> = order.iter().map(at).collect::<Option<_>>()?;
    let (&(last, step), outer) = axes.split_last()?;
    let mut result: Vec<[u8; N]> = Vec::with_capacity(items.len());
    let rows: usize = outer.iter().map(|(size, _)| size).product();
    for row in 0..rows {
        let (mut rest, mut offset) = (row, 0);
        for (size, stride) in outer.iter().rev() {
            offset += rest % size * stride;
            rest /= size;
        }
        for place in 0..last {
            result.push(*items.get(offset + place * step)?);
        }
    }
    let dims = axes.iter().map(|(size, _)| *size).collect();
    Some((dims, Bytes::from(result.into_flattened())))
}

/// The real numbers of a constant of one dimension, or with one scale.
pub(super) fn reals(stored: &Stored) -> Option<Vec<f32>> {
    let Some(quantization) = &stored.quantization else {
        return super::super::graph::floats(&stored.constant);
    };
    let bytes = stored.constant.bytes()?;
    let integers: Vec<i64> = match stored.constant.element_type {
        ElementType::Int32 => {
            bytes.as_chunks().0.iter().map(|&item| i32::from_le_bytes(item).into()).collect()
        }
        ElementType::Int8 => bytes.iter().map(|&byte| i64::from(byte as i8)).collect(),
        _ => return None,
    };
    let real = |(index, &value): (usize, &i64)| {
        let place = if quantization.scales.len() == 1 { 0 } else { index };
        let steps = value.checked_sub(*quantization.zero_points.get(place)?)?;
        Some((steps as f64 * f64::from(*quantization.scales.get(place)?)) as f32)
    };
    integers.iter().enumerate().map(real).collect()
}
