//! NumPy's broadcasting, as ONNX defines it ("Broadcasting in ONNX"), forward and back.

use modelyard_tensor::Shape;

use super::vector;
use crate::OpError;
use crate::buffers::Buffers;

/// The shape that two shapes broadcast to.
pub(crate) fn shape(one: &[usize], two: &[usize]) -> Result<Shape, OpError> {
    let rank = one.len().max(two.len());
    let dim = |dims: &[usize], axis: usize| {
        (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis])
    };
    (0..rank)
        .map(|axis| match (dim(one, axis), dim(two, axis)) {
            (1, size) | (size, 1) => Ok(size),
            (one, two) if one == two => Ok(one),
            _ => Err(OpError::new(format!(
                "shapes {} and {} do not broadcast",
                Shape::new(one),
                Shape::new(two)
            ))),
        })
        .collect()
}

/// Steps through two arrays at once: `out` is the walked shape, row-major; either operand may
/// repeat along some of its axes.
///
/// Axes along which both operands step alike are one axis here, so most walks have one or two.
pub(crate) struct Walk {
    /// Length and strides of the innermost axis.
    pub(crate) inner: Axis,
    /// The others, outermost first.
    outer: Vec<Axis>,
}

/// An axis of a [`Walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) size: usize,
    pub(crate) strides: [usize; 2],
}

impl Walk {
    /// A walk over `shape` with operands of shapes that broadcast to it.
    pub(crate) fn new(shape: &[usize], one: &[usize], two: &[usize]) -> Walk {
        let (one, two) = (strides(one, shape.len()), strides(two, shape.len()));
        let axes = shape.iter().zip(one.into_iter().zip(two));
        Walk::over(axes.map(|(&size, (one, two))| Axis { size, strides: [one, two] }))
    }

    /// A walk over these axes, outermost first.
    pub(crate) fn over(axes: impl Iterator<Item = Axis>) -> Walk {
        let mut merged: Vec<Axis> = Vec::new();
        for axis in axes.filter(|axis| axis.size != 1) {
            match merged.last_mut() {
                Some(last) if (0..2).all(|at| last.strides[at] == axis.strides[at] * axis.size) => {
                    *last = Axis { size: last.size * axis.size, strides: axis.strides };
                }
                _ => merged.push(axis),
            }
        }
        let inner = merged.pop().unwrap_or(Axis { size: 1, strides: [0, 0] });
        Walk { inner, outer: merged }
    }

    /// Calls `row` for every run of the innermost axis, in order, with where it starts in both
    /// operands.
    #[inline(always)]
    pub(crate) fn rows(&self, mut row: impl FnMut(usize, usize)) {
        let count: usize = self.outer.iter().map(|axis| axis.size).product();
        let mut position = vec![0usize; self.outer.len()];
        let (mut one, mut two) = (0, 0);
        for _ in 0..count {
            row(one, two);
            for (axis, at) in self.outer.iter().zip(&mut position).rev() {
                *at += 1;
                one += axis.strides[0];
                two += axis.strides[1];
                if *at < axis.size {
                    break;
                }
                one -= axis.strides[0] * axis.size;
                two -= axis.strides[1] * axis.size;
                *at = 0;
            }
        }
    }
}

/// Strides of an array of shape `dims` seen as one of `rank` axes; 0 where it repeats.
pub(crate) fn strides(dims: &[usize], rank: usize) -> Vec<usize> {
    let mut strides = vec![0; rank];
    let mut stride = 1;
    for (axis, &size) in dims.iter().enumerate().rev() {
        if size != 1 {
            strides[rank - dims.len() + axis] = stride;
        }
        stride *= size;
    }
    strides
}

/// `out[i] = function(one[i], two[i])` with broadcasting; elements of any type.
#[inline(always)]
pub(crate) fn apply<A: Copy, B: Copy, T>(
    out: &mut [T],
    walk: &Walk,
    (one, two): (&[A], &[B]),
    function: impl Fn(A, B) -> T,
) {
    update(
        out,
        walk,
        (one, two),
        #[inline(always)]
        |out, one, two| *out = function(one, two),
    );
}

/// Calls `function` with every element of `out` and what stands in its place in both operands.
#[inline(always)]
pub(crate) fn update<A: Copy, B: Copy, T>(
    out: &mut [T],
    walk: &Walk,
    (one, two): (&[A], &[B]),
    function: impl Fn(&mut T, A, B),
) {
    if out.is_empty() {
        return;
    }
    let size = walk.inner.size;
    let mut rest = out;
    walk.rows(
        #[inline(always)]
        |first, second| {
            let (row, tail) = std::mem::take(&mut rest).split_at_mut(size);
            rest = tail;
            let (one, two) = (&one[first..], &two[second..]);
            vector::vectorized(
                #[inline(always)]
                || match walk.inner.strides {
                    [1, 1] => row
                        .iter_mut()
                        .zip(one.iter().zip(two))
                        .for_each(|(out, (&one, &two))| function(out, one, two)),
                    [1, 0] => {
                        let two = two[0];
                        row.iter_mut().zip(one).for_each(|(out, &one)| function(out, one, two));
                    }
                    [0, 1] => {
                        let one = one[0];
                        row.iter_mut().zip(two).for_each(|(out, &two)| function(out, one, two));
                    }
                    [0, 0] => {
                        let (one, two) = (one[0], two[0]);
                        row.iter_mut().for_each(|out| function(out, one, two));
                    }
                    [by_one, by_two] => row.iter_mut().enumerate().for_each(|(at, out)| {
                        function(out, one[at * by_one], two[at * by_two]);
                    }),
                },
            );
        },
    );
}

/// Sums `gradient`, of shape `from`, over the axes along which an operand of shape `to` was
/// repeated: the gradient by that operand.
pub(crate) fn sum_to(
    buffers: &mut Buffers,
    gradient: Vec<f32>,
    from: &[usize],
    to: &[usize],
) -> Vec<f32> {
    if from == to {
        return gradient;
    }
    let len = to.iter().product();
    if len == gradient.len() {
        return gradient; // axes of size 1 come and go
    }
    let mut sum = buffers.zeros(len);
    let walk = Walk::new(from, from, to);
    if !gradient.is_empty() {
        let size = walk.inner.size;
        walk.rows(|source, target| {
            let row = &gradient[source..source + size];
            match walk.inner.strides[1] {
                0 => sum[target] += vector::sum(row),
                _ => vector::add(&mut sum[target..target + size], row),
            }
        });
    }
    buffers.give(gradient);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dims() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
        prop::collection::vec((1usize..4, 0..3u8), 0..5).prop_map(|axes| {
            let one = axes.iter().map(|&(size, keep)| if keep == 0 { 1 } else { size });
            let two: Vec<usize> =
                axes.iter().map(|&(size, keep)| if keep == 1 { 1 } else { size }).collect();
            let skip = two.iter().take_while(|&&size| size == 1).count() / 2;
            (one.collect(), two[skip..].to_vec())
        })
    }

    /// The element of an operand at a position of the broadcast shape, by definition.
    fn element(values: &[f32], dims: &[usize], position: &[usize]) -> f32 {
        let position = &position[position.len() - dims.len()..];
        let index = dims
            .iter()
            .zip(position)
            .fold(0, |index, (&size, &at)| index * size + if size == 1 { 0 } else { at });
        values[index]
    }

    proptest! {
        #[test]
        fn applies_and_sums_as_defined((one, two) in dims()) {
            let out = shape(&one, &two).unwrap();
            let count = |dims: &[usize]| dims.iter().product::<usize>();
            let first: Vec<f32> = (0..count(&one)).map(|value| value as f32).collect();
            let second: Vec<f32> = (0..count(&two)).map(|value| 100.0 * value as f32).collect();
            let mut sums = vec![0.0; count(&out)];
            apply(&mut sums, &Walk::new(&out, &one, &two), (&first, &second), |a, b| a + b);
            let mut repeats = vec![0.0; count(&two)];
            for (index, &sum) in sums.iter().enumerate() {
                let mut rest = index;
                let mut position = vec![0; out.len()];
                for (axis, &size) in out.iter().enumerate().rev() {
                    position[axis] = rest % size;
                    rest /= size;
                }
                let b = element(&second, &two, &position);
                prop_assert_eq!(sum, element(&first, &one, &position) + b);
                repeats[(b / 100.0) as usize] += sum;
            }
            let back = sum_to(&mut Buffers::default(), sums, &out, &two);
            prop_assert_eq!(back, repeats);
        }
    }

    #[test]
    fn shapes_that_do_not_broadcast_are_named() {
        let error = shape(&[2, 3], &[4, 3]).unwrap_err();
        assert_eq!(error.to_string(), "shapes [2,3] and [4,3] do not broadcast");
    }
}
