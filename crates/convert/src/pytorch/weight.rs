//! Weights: where the elements of a parameter lie, read when they are asked for.
//!
//! PyTorch's tensors are views of a storage: sizes, strides and an offset over a run of elements.
//! Several tensors may share a storage (tied weights, slices, transposes).

use std::sync::Arc;

use bytes::Bytes;
use modelyard_graph::{Constant, ElementType};

use crate::archive::Archive;
use crate::input::Input;
use crate::reference::Array;
use crate::{ConvertError, EvaluateError};

/// What errors call the format.
const FORMAT: &str = "PyTorch file";

/// A tensor in a file: a view of a [`Storage`].
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    storage: Storage,
    element_type: ElementType,
    sizes: Vec<usize>,
    /// In elements, as PyTorch has them; never negative.
    strides: Vec<usize>,
    /// In elements.
    offset: usize,
}

/// A run of bytes that tensors are views of.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// An entry of a zip file.
    Entry(Arc<Archive>, String),
    /// A stretch of a file: from this byte.
    File(Input, u64),
    /// In memory.
    Memory(Bytes),
}

/// Elements that are read at a time.
const BLOCK: usize = 1 << 20;

/// Which bytes a weight has, to find weights that are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    storage: (String, u64),
    element_type: ElementType,
    sizes: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
}

impl Storage {
    /// `len` bytes from `offset`; an error where it ends before.
    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ConvertError> {
        match self {
            Storage::Entry(archive, name) => archive.read_part(name, offset, len),
            Storage::File(input, start) => input.read(start.saturating_add(offset), len),
            Storage::Memory(bytes) => Input::memory("a constant", bytes.clone()).read(offset, len),
        }
    }

    /// It as a file of its own, from which many parts are to be read.
    fn input(&self) -> Result<Input, ConvertError> {
        match self {
            Storage::Entry(archive, name) => archive.input(name),
            Storage::File(input, start) => {
                input.part("weights", *start, input.len.saturating_sub(*start))
            }
            Storage::Memory(bytes) => Ok(Input::memory("a constant", bytes.clone())),
        }
    }

    fn place(&self) -> (String, u64) {
        match self {
            Storage::Entry(_, name) => (name.clone(), 0),
            Storage::File(input, start) => (input.path.display().to_string(), *start),
            Storage::Memory(bytes) => ("memory".into(), bytes.as_ptr() as u64),
        }
    }
}

impl Weight {
    /// A tensor whose elements lie side by side, row-major, from the start of `storage`.
    pub(crate) fn dense(
        storage: Storage,
        element_type: ElementType,
        sizes: &[usize],
    ) -> Result<Weight, ConvertError> {
        let strides = row_major(sizes).ok_or_else(|| malformed("its size overflows"))?;
        Weight::strided(storage, element_type, sizes, &strides, 0)
    }

    /// A view with these strides and this offset, in elements. An error where that does not fit
    /// into the memory of a machine.
    pub(crate) fn strided(
        storage: Storage,
        element_type: ElementType,
        sizes: &[usize],
        strides: &[usize],
        offset: usize,
    ) -> Result<Weight, ConvertError> {
        if sizes.len() != strides.len() {
            let message = format!("it has {} sizes and {} strides", sizes.len(), strides.len());
            return Err(malformed(message));
        }
        let weight = Weight {
            storage,
            element_type,
            sizes: sizes.to_vec(),
            strides: strides.to_vec(),
            offset,
        };
        let fits = row_major(sizes).is_some() && weight.span().is_some();
        fits.then_some(weight).ok_or_else(|| malformed("its size overflows"))
    }

    /// What its elements are.
    pub(crate) fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// Its sizes, outermost first.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Bytes that it has when its elements lie side by side.
    pub(crate) fn byte_len(&self) -> u64 {
        let elements = self.sizes.iter().fold(1u64, |all, &size| all.saturating_mul(size as u64));
        elements.saturating_mul(self.element_type.bits() as u64 / 8)
    }

    /// Whether it has some of its elements many times: axes with a stride of 0.
    pub(crate) fn is_repeated(&self) -> bool {
        self.strides.iter().zip(&self.sizes).any(|(&stride, &size)| stride == 0 && size > 1)
    }

    /// Which bytes it has: two weights of the same place are one.
    pub(crate) fn place(&self) -> Place {
        Place {
            storage: self.storage.place(),
            element_type: self.element_type,
            sizes: self.sizes.clone(),
            strides: self.strides.clone(),
            offset: self.offset,
        }
    }

    /// Number of elements from the first to the last one, both included; `None` on overflow.
    fn span(&self) -> Option<usize> {
        if self.sizes.contains(&0) {
            return Some(0);
        }
        let mut last = 0usize;
        for (&size, &stride) in self.sizes.iter().zip(&self.strides) {
            last = last.checked_add((size - 1).checked_mul(stride)?)?;
        }
        self.offset.checked_add(last)?.checked_add(1)?;
        let span = last + 1;
        self.element_type.byte_len(span).map(|_| span)
    }

    /// Its elements as little-endian bytes, row-major. Not copied where they lie like that.
    pub(crate) fn bytes(&self) -> Result<Bytes, ConvertError> {
        let width = self.element_type.bits() / 8;
        let span = self.span().ok_or_else(|| malformed("its size overflows"))?;
        let start = (self.offset as u64).checked_mul(width as u64);
        let start = start.ok_or_else(|| malformed("its offset overflows"))?;
        let bytes = match span {
            0 => return Ok(Bytes::new()),
            // It fits: `span` was multiplied by the width before.
            span => self.storage.read(start, span * width)?,
        };
        Ok(if self.is_dense() { bytes } else { self.gather(&bytes, width).into() })
    }

    /// Whether its elements lie side by side, row-major.
    fn is_dense(&self) -> bool {
        row_major(&self.sizes).is_some_and(|dense| {
            let pairs = self.strides.iter().zip(&dense).zip(&self.sizes);
            pairs.into_iter().all(|((stride, dense), &size)| size == 1 || stride == dense)
        })
    }

    /// Its elements where they are floats side by side, read in blocks: the largest weight is never
    /// in memory twice. `None` for others.
    fn floats(&self) -> Result<Option<Vec<f32>>, ConvertError> {
        let elements = self.span().ok_or_else(|| malformed("its size overflows"))?;
        if self.element_type != ElementType::Float32 || !self.is_dense() || elements == 0 {
            return Ok(None);
        }
        let input = self.storage.input()?;
        let start = (self.offset as u64).saturating_mul(4);
        // The last one first: what is not there takes no memory.
        input.read(start.saturating_add((elements as u64 - 1).saturating_mul(4)), 4)?;
        let mut values = Vec::with_capacity(elements);
        while values.len() < elements {
            let count = (elements - values.len()).min(BLOCK);
            let bytes = input.read(start.saturating_add(values.len() as u64 * 4), count * 4)?;
            values.extend(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)));
        }
        Ok(Some(values))
    }

    /// Copies the elements of a view into row-major order.
    fn gather(&self, bytes: &[u8], width: usize) -> Vec<u8> {
        let elements: usize = self.sizes.iter().product();
        let mut gathered = Vec::with_capacity(elements.saturating_mul(width));
        let mut index = vec![0usize; self.sizes.len()];
        let mut at = 0usize;
        for _ in 0..elements {
            // Within: no element lies beyond the span.
            gathered.extend_from_slice(&bytes[at * width..(at + 1) * width]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.sizes[axis] {
                    break;
                }
                at -= self.strides[axis] * index[axis];
                index[axis] = 0;
            }
        }
        gathered
    }

    /// It as a constant of this name.
    pub(crate) fn constant(&self, name: &str) -> Result<Constant, ConvertError> {
        Ok(Constant::raw(name, self.element_type, &self.sizes, self.bytes()?))
    }

    /// It as an array.
    pub(crate) fn array(&self) -> Result<Array, EvaluateError> {
        let failed = |error: ConvertError| EvaluateError::new(error.to_string());
        if let Some(values) = self.floats().map_err(failed)? {
            return Array::floats(&self.sizes, values);
        }
        Array::from_constant(&self.constant("weight").map_err(failed)?)
    }
}

/// Strides of elements that lie side by side; `None` on overflow.
pub(crate) fn row_major(sizes: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1usize; sizes.len()];
    let mut all = 1usize;
    for (stride, &size) in strides.iter_mut().zip(sizes).rev() {
        *stride = all;
        all = all.checked_mul(size.max(1))?;
    }
    Some(strides)
}

fn malformed(message: impl Into<String>) -> ConvertError {
    let place = "a weight".into();
    ConvertError::Malformed { format: FORMAT, place, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(sizes: &[usize], strides: &[usize], offset: usize) -> Weight {
        let storage = Storage::Memory(Bytes::from_static(&[0, 1, 2, 3, 4, 5, 6, 7]));
        Weight::strided(storage, ElementType::Uint8, sizes, strides, offset).unwrap()
    }

    #[test]
    fn strides_and_offsets_are_honoured() {
        assert_eq!(&weight(&[2, 3], &[3, 1], 1).bytes().unwrap()[..], [1, 2, 3, 4, 5, 6]);
        assert_eq!(&weight(&[3, 2], &[1, 3], 0).bytes().unwrap()[..], [0, 3, 1, 4, 2, 5]);
        assert_eq!(&weight(&[2, 2], &[0, 2], 3).bytes().unwrap()[..], [3, 5, 3, 5]);
        assert_eq!(weight(&[0, 2], &[2, 1], 0).bytes().unwrap().len(), 0);
    }

    /// The largest weight of VGG has 411 MB, which were in memory twice while it was evaluated.
    #[test]
    fn floats_are_read_in_blocks() {
        let values: Vec<f32> = (0..BLOCK + 3).map(|value| value as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let storage = Storage::Memory(bytes.into());
        let view = |elements: usize, offset| {
            let (sizes, strides) = ([1, elements], [7, 1]);
            Weight::strided(storage.clone(), ElementType::Float32, &sizes, &strides, offset)
                .unwrap()
        };
        let array = view(BLOCK + 1, 2).array().unwrap();
        assert_eq!((array.dims(), array.as_floats().unwrap()), (&[1, BLOCK + 1][..], &values[2..]));
        assert!(view(BLOCK + 2, 2).array().is_err());
    }

    #[test]
    fn what_lies_outside_of_the_storage_is_an_error() {
        assert!(weight(&[9], &[1], 0).bytes().is_err());
        assert!(weight(&[1], &[1], usize::MAX / 2).bytes().is_err());
        let storage = Storage::Memory(Bytes::new());
        let huge = &[usize::MAX, usize::MAX];
        assert!(Weight::strided(storage, ElementType::Float32, huge, huge, 0).is_err());
    }
}
