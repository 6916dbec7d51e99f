//! The numbers of one weight.

use bytes::Bytes;
use half::{bf16, f16};
use modelyard_graph::{Constant, ElementType};

use crate::EvaluateError;
use crate::keras::fault::Fault;
use crate::reference::Array;

/// One weight, read from the file.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    /// What its elements are; floats are always `float`.
    pub(crate) element_type: ElementType,
    /// Its shape, as the source has it until it is transposed.
    pub(crate) dims: Vec<usize>,
    bytes: Bytes,
}

impl Weight {
    /// A weight of these little-endian bytes, as many as the shape asks for.
    pub(crate) fn new(element_type: ElementType, dims: Vec<usize>, bytes: Bytes) -> Weight {
        Weight { element_type, dims, bytes }
    }

    /// A weight of these floats.
    pub(crate) fn floats(dims: &[usize], values: &[f32]) -> Weight {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Weight::new(ElementType::Float32, dims.to_vec(), bytes.into())
    }

    /// Floats of other widths as 32-bit floats.
    pub(crate) fn widened(self) -> Weight {
        let values: Vec<f32> = match self.element_type {
            ElementType::Float16 => self.each(|item: [u8; 2]| f16::from_le_bytes(item).to_f32()),
            ElementType::Bfloat16 => self.each(|item: [u8; 2]| bf16::from_le_bytes(item).to_f32()),
            ElementType::Float64 => self.each(|item: [u8; 8]| f64::from_le_bytes(item) as f32),
            _ => return self,
        };
        Weight::floats(&self.dims, &values)
    }

    fn each<T, const N: usize>(&self, item: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.as_chunks().0.iter().map(|&chunk| item(chunk)).collect()
    }

    /// The elements as floats; integers are converted.
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        match self.element_type {
            ElementType::Float32 => self.each(f32::from_le_bytes),
            ElementType::Int8 => self.each(|item: [u8; 1]| f32::from(item[0] as i8)),
            ElementType::Uint8 | ElementType::Bool => self.each(|item: [u8; 1]| f32::from(item[0])),
            ElementType::Int16 => self.each(|item: [u8; 2]| f32::from(i16::from_le_bytes(item))),
            ElementType::Uint16 => self.each(|item: [u8; 2]| f32::from(u16::from_le_bytes(item))),
            ElementType::Int32 => self.each(|item: [u8; 4]| i32::from_le_bytes(item) as f32),
            ElementType::Uint32 => self.each(|item: [u8; 4]| u32::from_le_bytes(item) as f32),
            ElementType::Int64 => self.each(|item: [u8; 8]| i64::from_le_bytes(item) as f32),
            ElementType::Uint64 => self.each(|item: [u8; 8]| u64::from_le_bytes(item) as f32),
            // What a file has no other types for.
            _ => vec![0.0; self.dims.iter().product()],
        }
    }

    /// The axes in another order. `permutation` must name each axis once, which is the caller's to
    /// know; the rank is checked.
    pub(crate) fn transposed(&self, permutation: &[usize]) -> Result<Weight, Fault> {
        self.of_rank(permutation.len())?;
        let width = (self.element_type.bits() / 8).max(1);
        let mut steps = vec![width; self.dims.len()];
        for axis in (0..self.dims.len().saturating_sub(1)).rev() {
            steps[axis] = steps[axis + 1] * self.dims[axis + 1];
        }
        let dims: Vec<usize> = permutation.iter().map(|&axis| self.dims[axis]).collect();
        let steps: Vec<usize> = permutation.iter().map(|&axis| steps[axis]).collect();
        let mut bytes = Vec::with_capacity(self.bytes.len());
        copy(&self.bytes, width, &dims, &steps, 0, &mut bytes);
        Ok(Weight::new(self.element_type, dims, bytes.into()))
    }

    /// The same elements in another shape.
    pub(crate) fn reshaped(mut self, dims: &[usize]) -> Result<Weight, Fault> {
        let count = |dims: &[usize]| dims.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
        if count(dims) != count(&self.dims) {
            let found = &self.dims;
            return Err(Fault::malformed(format!(
                "expected a weight that has shape {dims:?}, found {found:?}"
            )));
        }
        self.dims = dims.to_vec();
        Ok(self)
    }

    /// The elements from back to front along these axes.
    pub(crate) fn flipped(&self, axes: &[usize]) -> Weight {
        let values = self.to_floats();
        let mut flipped = Vec::with_capacity(values.len());
        for index in 0..values.len() {
            let (mut rest, mut step, mut source) = (index, 1, 0);
            for (axis, &size) in self.dims.iter().enumerate().rev() {
                let place = rest % size;
                let place = if axes.contains(&axis) { size - 1 - place } else { place };
                source += place * step;
                step *= size;
                rest /= size;
            }
            flipped.push(values[source]);
        }
        Weight::floats(&self.dims, &flipped)
    }

    /// Several weights one after the other along the last axis.
    pub(crate) fn joined(parts: &[Weight]) -> Result<Weight, Fault> {
        let widths: Vec<usize> =
            parts.iter().map(|part| part.dims.last().copied().unwrap_or(1)).collect();
        let outer = |part: &Weight| {
            part.dims.split_last().map(|(_, outer)| outer.to_vec()).unwrap_or_default()
        };
        let Some(first) = parts.first() else {
            return Err(Fault::malformed("expected several weights to join, found none"));
        };
        let shape = outer(first);
        if parts.iter().any(|part| outer(part) != shape) {
            return Err(Fault::malformed("the weights of the gates have different shapes"));
        }
        let rows: usize = shape.iter().product();
        let values: Vec<Vec<f32>> = parts.iter().map(Weight::to_floats).collect();
        let mut joined = Vec::with_capacity(values.iter().map(Vec::len).sum());
        for row in 0..rows {
            for (part, &width) in values.iter().zip(&widths) {
                joined.extend_from_slice(&part[row * width..][..width]);
            }
        }
        let mut dims = shape;
        dims.push(widths.iter().sum());
        Ok(Weight::floats(&dims, &joined))
    }

    /// The same weight; an error unless it has this many dimensions.
    pub(crate) fn of_rank(&self, rank: usize) -> Result<&Weight, Fault> {
        if self.dims.len() != rank {
            let found = &self.dims;
            return Err(Fault::malformed(format!(
                "expected a weight of {rank} dimensions, found shape {found:?}"
            )));
        }
        Ok(self)
    }

    /// The same weight; an error unless it has this shape.
    pub(crate) fn of_shape(self, dims: &[usize]) -> Result<Weight, Fault> {
        if self.dims != dims {
            let found = &self.dims;
            return Err(Fault::malformed(format!(
                "expected a weight of shape {dims:?}, found {found:?}"
            )));
        }
        Ok(self)
    }

    /// As a constant of this name; the bytes are shared.
    pub(crate) fn constant(&self, name: &str) -> Constant {
        Constant::raw(name, self.element_type, &self.dims, self.bytes.clone())
    }

    /// As an array.
    pub(crate) fn array(&self) -> Result<Array, EvaluateError> {
        Array::from_constant(&self.constant("weight"))
    }
}

/// Copies the elements at `offset` and on, in the order of `dims`, whose steps in the source are
/// `steps`.
fn copy(
    source: &[u8],
    width: usize,
    dims: &[usize],
    steps: &[usize],
    offset: usize,
    into: &mut Vec<u8>,
) {
    match (dims, steps) {
        ([], _) | (_, []) => into.extend_from_slice(&source[offset..offset + width]),
        ([size], [step]) if *step == width => {
            into.extend_from_slice(&source[offset..offset + size * width]);
        }
        ([size, dims @ ..], [step, steps @ ..]) => {
            for index in 0..*size {
                copy(source, width, dims, steps, offset + index * step, into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: &[usize]) -> Weight {
        let values: Vec<f32> = (0..dims.iter().product::<usize>()).map(|n| n as f32).collect();
        Weight::floats(dims, &values)
    }

    #[test]
    fn axes_are_transposed() {
        let found = counted(&[2, 3]).transposed(&[1, 0]).unwrap();
        assert_eq!(found.dims, [3, 2]);
        assert_eq!(found.to_floats(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let found = counted(&[2, 1, 2, 3]).transposed(&[3, 2, 0, 1]).unwrap();
        assert_eq!(found.dims, [3, 2, 2, 1]);
        assert_eq!(found.to_floats()[..4], [0.0, 6.0, 3.0, 9.0]);
        assert!(counted(&[2]).transposed(&[1, 0]).is_err());
    }

    #[test]
    fn kernels_are_flipped() {
        let found = counted(&[2, 2, 2]).flipped(&[0, 1]);
        assert_eq!(found.to_floats(), [6.0, 7.0, 4.0, 5.0, 2.0, 3.0, 0.0, 1.0]);
    }

    #[test]
    fn gates_are_joined() {
        let found = Weight::joined(&[counted(&[2, 1]), counted(&[2, 2])]).unwrap();
        assert_eq!(found.dims, [2, 3]);
        assert_eq!(found.to_floats(), [0.0, 0.0, 1.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn halves_are_widened() {
        let bytes: Vec<u8> =
            [1.0f32, -2.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let found = Weight::new(ElementType::Float16, vec![2], bytes.into()).widened();
        assert_eq!(found.to_floats(), [1.0, -2.0]);
    }
}
