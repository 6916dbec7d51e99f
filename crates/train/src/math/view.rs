//! Arrays seen in another order: transposed, cut, repeated, without a copy of their own.

use modelyard_tensor::Shape;

use super::vector;
use crate::array::Array;
use crate::buffers::Buffers;
use crate::element::{Element, by_kind};
use crate::error::OpError;

/// Where each element of an array of shape [`View::shape`] lies in another array.
#[derive(Clone, Debug)]
pub(crate) struct View {
    shape: Shape,
    offset: usize,
    /// Neighbours that are one run are one axis; never empty.
    axes: Vec<Axis>,
}

/// An axis of a [`View`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) size: usize,
    /// From one element to the next, in elements of the array that is seen.
    pub(crate) stride: isize,
}

/// Rows and columns of a block that is transposed at a time: both sides fit the nearest cache.
const BLOCK: usize = 16;

impl View {
    /// A view of `shape` whose first element is at `offset`. `axes`, outermost first, have the
    /// elements of `shape` in its order, though not always its axes. All that is seen must lie
    /// inside the array.
    pub(crate) fn new(shape: Shape, offset: usize, axes: impl IntoIterator<Item = Axis>) -> View {
        let mut merged: Vec<Axis> = Vec::new();
        for axis in axes.into_iter().filter(|axis| axis.size != 1) {
            match merged.last_mut() {
                Some(last) if last.stride == axis.stride.wrapping_mul(axis.size as isize) => {
                    *last = Axis { size: last.size * axis.size, stride: axis.stride };
                }
                _ => merged.push(axis),
            }
        }
        if merged.is_empty() {
            merged.push(Axis { size: 1, stride: 1 });
        }
        View { shape, offset, axes: merged }
    }

    /// What is seen has this shape.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it shows the array as it is, all of it or its beginning.
    fn is_plain(&self) -> bool {
        matches!(self.axes[..], [Axis { stride: 1, .. }]) && self.offset == 0
    }

    /// What is seen of `input`, as an array of its own; copies nothing where it is the same.
    pub(crate) fn of(&self, buffers: &mut Buffers, input: &Array) -> Result<Array, OpError> {
        let len = self.shape.iter().product();
        if len == input.len() && self.is_plain() {
            return Ok(input.clone().reshaped(self.shape.clone()));
        }
        by_kind!(input, T => {
            let mut out = T::buffer(buffers, len);
            self.read(&mut out, T::of(input)?);
            Ok(T::array(self.shape.clone(), out))
        })
    }

    /// The gradient by an array of shape `to` from the one by what is seen of it.
    pub(crate) fn back(
        &self,
        buffers: &mut Buffers,
        gradient: Array,
        to: &Shape,
    ) -> Result<Array, OpError> {
        if gradient.len() == to.iter().product::<usize>() && self.is_plain() {
            return Ok(gradient.reshaped(to.clone()));
        }
        let mut sum = buffers.zeros(to.iter().product());
        self.add(&mut sum, gradient.as_floats()?);
        buffers.recycle(gradient);
        Ok(Array::floats(to.clone(), sum))
    }

    /// `out[i]` = what is seen at `i`.
    pub(crate) fn read<T: Copy>(&self, out: &mut [T], seen: &[T]) {
        if out.is_empty() {
            return;
        }
        if let [outer @ .., Axis { size: rows, stride: 1 }, inner] = &self.axes[..]
            && inner.stride > 1
        {
            let mut planes = out.chunks_exact_mut(rows * inner.size);
            return starts(outer, self.offset, |start| {
                if let Some(plane) = planes.next() {
                    transpose(plane, &seen[start..], *rows, *inner);
                }
            });
        }
        let (inner, outer) = self.split();
        let mut rows = out.chunks_exact_mut(inner.size);
        starts(outer, self.offset, |start| {
            let Some(row) = rows.next() else { return };
            match inner.stride {
                0 => row.fill(seen[start]),
                1 => row.copy_from_slice(&seen[start..start + inner.size]),
                stride => row.iter_mut().enumerate().for_each(|(number, out)| {
                    *out = seen[start.wrapping_add_signed(number as isize * stride)];
                }),
            }
        });
    }

    /// What is seen at `i` = `values[i]`.
    pub(crate) fn write<T: Copy>(&self, seen: &mut [T], values: &[T]) {
        if values.is_empty() {
            return;
        }
        let (inner, outer) = self.split();
        let mut rows = values.chunks_exact(inner.size);
        starts(outer, self.offset, |start| {
            let Some(row) = rows.next() else { return };
            if inner.stride == 1 {
                return seen[start..start + inner.size].copy_from_slice(row);
            }
            row.iter().enumerate().for_each(|(number, &value)| {
                seen[start.wrapping_add_signed(number as isize * inner.stride)] = value;
            });
        });
    }

    /// Adds `values[i]` to what is seen at `i`.
    pub(crate) fn add(&self, seen: &mut [f32], values: &[f32]) {
        if values.is_empty() {
            return;
        }
        let (inner, outer) = self.split();
        let mut rows = values.chunks_exact(inner.size);
        starts(outer, self.offset, |start| {
            let Some(row) = rows.next() else { return };
            match inner.stride {
                0 => seen[start] += vector::sum(row),
                1 => vector::add(&mut seen[start..start + inner.size], row),
                stride => row.iter().enumerate().for_each(|(number, value)| {
                    seen[start.wrapping_add_signed(number as isize * stride)] += value;
                }),
            }
        });
    }

    fn split(&self) -> (Axis, &[Axis]) {
        match self.axes.split_last() {
            Some((inner, outer)) => (*inner, outer),
            None => (Axis { size: 1, stride: 1 }, &[]),
        }
    }
}

/// Strides of a row-major array.
pub(crate) fn strides(dims: &[usize]) -> Vec<isize> {
    let mut stride = 1isize;
    let mut strides = Vec::with_capacity(dims.len());
    for &size in dims.iter().rev() {
        strides.push(stride);
        stride = stride.wrapping_mul(size as isize);
    }
    strides.reverse();
    strides
}

/// Calls `each` with every position of these axes, in order.
fn starts(axes: &[Axis], offset: usize, mut each: impl FnMut(usize)) {
    let count: usize = axes.iter().map(|axis| axis.size).product();
    let mut position = vec![0usize; axes.len()];
    let mut start = offset;
    for _ in 0..count {
        each(start);
        for (axis, at) in axes.iter().zip(&mut position).rev() {
            *at += 1;
            start = start.wrapping_add_signed(axis.stride);
            if *at < axis.size {
                break;
            }
            start = start.wrapping_add_signed(axis.stride.wrapping_mul(-(axis.size as isize)));
            *at = 0;
        }
    }
}

/// `out[row][column] = seen[column * stride + row]`, block by block.
fn transpose<T: Copy>(out: &mut [T], seen: &[T], rows: usize, columns: Axis) {
    let stride = columns.stride.unsigned_abs();
    for first_row in (0..rows).step_by(BLOCK) {
        let last_row = (first_row + BLOCK).min(rows);
        for first in (0..columns.size).step_by(BLOCK) {
            let last = (first + BLOCK).min(columns.size);
            for row in first_row..last_row {
                let out = &mut out[row * columns.size + first..row * columns.size + last];
                let seen = seen[first * stride + row..].iter().step_by(stride);
                out.iter_mut().zip(seen).for_each(|(out, &seen)| *out = seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where each element of a view lies, by definition.
    fn indices(offset: usize, axes: &[Axis]) -> Vec<usize> {
        axes.iter().fold(vec![offset], |starts, axis| {
            let along = |start: usize| {
                (0..axis.size as isize)
                    .map(move |number| start.wrapping_add_signed(number * axis.stride))
            };
            starts.into_iter().flat_map(along).collect()
        })
    }

    proptest! {
        #[test]
        fn reads_writes_and_adds_where_its_strides_say(
            axes in prop::collection::vec((0usize..20, 0usize..3), 0..4),
            order in any::<u64>(),
        ) {
            // Axes of a row-major array in any order, some reversed, some repeated.
            let sizes: Vec<usize> = axes.iter().map(|axis| axis.0).collect();
            let mut offset = 0;
            let mut axes: Vec<Axis> = strides(&sizes)
                .into_iter()
                .zip(&axes)
                .map(|(stride, &(size, kind))| match kind {
                    0 => Axis { size: size.min(3), stride: 0 },
                    1 if size > 0 => {
                        offset += stride.unsigned_abs() * (size - 1);
                        Axis { size, stride: -stride }
                    }
                    _ => Axis { size, stride },
                })
                .collect();
            fastrand::Rng::with_seed(order).shuffle(&mut axes);
            let indices = indices(offset, &axes);
            let len = sizes.iter().product::<usize>();
            let input: Vec<i64> = (0..len as i64).collect();
            let view = View::new(Shape::from([indices.len()]), offset, axes);
            let mut out = vec![0; indices.len()];
            view.read(&mut out, &input);
            prop_assert_eq!(&out, &indices.iter().map(|&index| index as i64).collect::<Vec<_>>());

            let values: Vec<f32> = (0..indices.len()).map(|value| (value % 7) as f32).collect();
            let (mut sums, mut expected) = (vec![0.0; len], vec![0.0; len]);
            view.add(&mut sums, &values);
            let (mut written, mut last) = (vec![0.0; len], vec![0.0; len]);
            view.write(&mut written, &values);
            for (&index, &value) in indices.iter().zip(&values) {
                expected[index] += value;
                last[index] = value;
            }
            prop_assert_eq!(sums, expected);
            prop_assert_eq!(written, last);
        }
    }
}
