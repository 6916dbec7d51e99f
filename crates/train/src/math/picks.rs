//! Runs of elements taken from anywhere in an array, as `Gather` and its kin do.

use modelyard_tensor::Shape;

use super::vector;
use crate::array::Array;
use crate::buffers::Buffers;
use crate::element::{Element, by_kind};
use crate::error::OpError;

/// Which runs make up an array of shape [`Picks::shape`].
#[derive(Clone, Debug)]
pub(crate) struct Picks {
    /// What is taken has this shape: as many elements as all runs together.
    pub(crate) shape: Shape,
    /// Elements of a run.
    pub(crate) run: usize,
    /// Which runs are taken: for each of these, in order,
    pub(crate) starts: Vec<usize>,
    /// the run of each of these numbers from there on.
    pub(crate) numbers: Vec<usize>,
}

impl Picks {
    /// What is taken of `input`.
    pub(crate) fn of(&self, buffers: &mut Buffers, input: &Array) -> Result<Array, OpError> {
        by_kind!(input, T => {
            let mut out = T::buffer(buffers, self.shape.iter().product());
            self.read(&mut out, T::of(input)?);
            Ok(T::array(self.shape.clone(), out))
        })
    }

    /// The gradient by an array of shape `to` from the one by what is taken of it.
    pub(crate) fn back(
        &self,
        buffers: &mut Buffers,
        gradient: Array,
        to: &Shape,
    ) -> Result<Array, OpError> {
        let mut sum = buffers.zeros(to.iter().product());
        self.add(&mut sum, gradient.as_floats()?);
        buffers.recycle(gradient);
        Ok(Array::floats(to.clone(), sum))
    }

    /// Elements that are taken from one start on.
    fn block(&self) -> usize {
        self.numbers.len() * self.run
    }

    /// The runs one after another: `out` is as long as all of them.
    fn read<T: Element>(&self, out: &mut [T], from: &[T]) {
        if self.block() == 0 {
            return;
        }
        for (out, start) in out.chunks_exact_mut(self.block()).zip(&self.starts) {
            if self.run == 1 {
                let pairs = out.iter_mut().zip(&self.numbers);
                pairs.for_each(|(out, number)| *out = from[start + number]);
                continue;
            }
            for (out, number) in out.chunks_exact_mut(self.run).zip(&self.numbers) {
                out.copy_from_slice(&from[(start + number) * self.run..][..self.run]);
            }
        }
    }

    /// Puts `values` in the place of the runs; where one is taken twice, the last stays.
    pub(crate) fn write<T: Element>(&self, to: &mut [T], values: &[T]) {
        self.runs(values, |start, values| {
            to[start..start + values.len()].copy_from_slice(values);
        });
    }

    /// Adds `values` to the runs.
    pub(crate) fn add(&self, to: &mut [f32], values: &[f32]) {
        match self.run {
            1 => self.runs(values, |start, value| to[start] += value[0]),
            run => {
                self.runs(values, |start, values| vector::add(&mut to[start..start + run], values))
            }
        }
    }

    /// Calls `each` with where every run begins, and its part of `values`.
    #[inline(always)]
    pub(crate) fn runs<T>(&self, values: &[T], mut each: impl FnMut(usize, &[T])) {
        if self.block() == 0 {
            return;
        }
        for (values, start) in values.chunks_exact(self.block()).zip(&self.starts) {
            for (values, number) in values.chunks_exact(self.run).zip(&self.numbers) {
                each((start + number) * self.run, values);
            }
        }
    }
}

/// An index, which may count from the end, of an axis of this size.
pub(crate) fn index(index: i64, size: usize) -> Result<usize, OpError> {
    let from_start = if index < 0 { index.saturating_add_unsigned(size as u64) } else { index };
    usize::try_from(from_start).ok().filter(|&found| found < size).ok_or_else(|| {
        OpError::new(format!("index {index} is not one of an axis of {size} elements"))
    })
}

/// Elements before an axis, along it and after it.
pub(crate) fn around(shape: &Shape, axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}
