//! MaxPool: the largest element under a window over one to three axes; the first of equal ones,
//! and NaN where there is one, as PyTorch takes them.

use super::window::{Axis, Sliding, Window};
use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

/// Planes of one piece of shared work.
const PIECES: usize = 8;
/// Taps of a window at most: their numbers are kept as floats, exactly.
const TAPS_MAX: usize = 1 << 20;
/// No element was under the window.
const NO_TAP: f32 = -1.0;

#[derive(Debug)]
struct MaxPool {
    sliding: Sliding,
    /// Whether there is an output for the numbers of the elements taken.
    states_indices: bool,
}

impl Operator for MaxPool {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let (window, shape) = self.sliding.pool(input.shape())?;
        scope.elements(&window.0.map(|axis| axis.kernel))?;
        if window.taps() > TAPS_MAX {
            return Err(OpError::new(format!(
                "a window has {} taps, more than {TAPS_MAX}",
                window.taps()
            )));
        }
        let len = scope.elements(&shape)?;
        let (mut out, mut taps) = (scope.buffers.take(len), scope.buffers.take(len));
        let (input_len, output_len) = (window.input_len(), window.output_len());
        let values = input.as_floats()?;
        let piece = (output_len * planes_of_piece(&shape)).max(1);
        let items = out.chunks_mut(piece).zip(taps.chunks_mut(piece)).enumerate().collect();
        scope.share(2 * values.len().max(len), items, |(number, (out, taps))| {
            let planes = out.chunks_exact_mut(output_len).zip(taps.chunks_exact_mut(output_len));
            let mut scratch = Vec::new();
            for (plane, (out, taps)) in planes.enumerate() {
                let plane = number * planes_of_piece(&shape) + plane;
                let input = &values[plane * input_len..][..input_len];
                largest(&window, input, (out, taps), &mut scratch);
            }
            Ok(())
        })?;
        let indices =
            self.states_indices.then(|| Array::ints(shape.clone(), indices(&window, &taps)));
        let mut outcome = Outcome::from(Array::floats(shape.clone(), out));
        outcome.outputs.extend(indices);
        Ok(outcome.saving(Array::floats(shape, taps)))
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let taps = at.saved.pop().ok_or_else(|| OpError::new("nothing was saved"))?;
        let input = at.shape(0)?.clone();
        let (window, shape) = self.sliding.pool(&input)?;
        let (input_len, output_len) = (window.input_len(), window.output_len());
        let mut out = scope.buffers.take(input.iter().product());
        let offsets = offsets(&window);
        let (dy, taken) = (gradient.as_floats()?, taps.as_floats()?);
        let planes = planes_of_piece(&shape);
        let items = out.chunks_mut((planes * input_len).max(1)).enumerate().collect();
        scope.share(
            4 * input_len.max(output_len) * shape[0] * shape[1],
            items,
            |(piece, out)| {
                for (plane, out) in out.chunks_exact_mut(input_len).enumerate() {
                    let first = (piece * planes + plane) * output_len;
                    let range = first..first + output_len;
                    give_back(&window, &offsets, (&dy[range.clone()], &taken[range]), out);
                }
                Ok(())
            },
        )?;
        scope.buffers.recycle(gradient);
        scope.buffers.recycle(taps);
        Ok(vec![Some(Array::floats(input, out))])
    }
}

/// Planes of a piece, of an array of this shape: never 0.
fn planes_of_piece(shape: &[usize]) -> usize {
    (shape[0] * shape[1]).div_ceil(PIECES).max(1)
}

/// Whether the window is 2 by 2, moves by 2 and is always inside the input.
fn is_plain(window: &Window) -> bool {
    let plain = |axis: &Axis| {
        (axis.kernel, axis.stride, axis.dilation, axis.begin) == (2, 2, 1, 0)
            && 2 * axis.output <= axis.input
    };
    window.0[0] == Axis::NONE && plain(&window.0[1]) && plain(&window.0[2])
}

/// The largest elements of one plane, and the numbers of their taps.
fn largest(
    window: &Window,
    input: &[f32],
    (out, taps): (&mut [f32], &mut [f32]),
    scratch: &mut Vec<f32>,
) {
    if is_plain(window) {
        scratch.resize(4 * out.len(), 0.0);
        return vector::vectorized(
            #[inline(always)]
            || largest_plain(window, input, (out, taps), scratch),
        );
    }
    out.fill(f32::NEG_INFINITY);
    taps.fill(NO_TAP);
    vector::vectorized(
        #[inline(always)]
        || {
            lines(window, |tap, line| {
                let (out, taps) = (&mut out[line.places.clone()], &mut taps[line.places]);
                let take = |((out, taken), &value): ((&mut f32, &mut f32), &f32)| {
                    let takes = value > *out || value.is_nan() || *taken < 0.0;
                    *out = if takes { value } else { *out };
                    *taken = if takes { tap } else { *taken };
                };
                let pairs = out.iter_mut().zip(taps);
                let input = &input[line.first..];
                match line.stride {
                    1 => pairs.zip(input).for_each(take),
                    stride => pairs.zip(input.iter().step_by(stride)).for_each(take),
                }
            });
        },
    );
}

/// Where the taps of a window are in a plane of the input, from its origin on.
fn offsets(window: &Window) -> Vec<isize> {
    let [depth, row, column] = window.0;
    let mut offsets = Vec::with_capacity(window.taps());
    for z in 0..depth.kernel {
        for y in 0..row.kernel {
            let line = (z * depth.dilation * row.input + y * row.dilation) * column.input;
            offsets.extend((0..column.kernel).map(|x| (line + x * column.dilation) as isize));
        }
    }
    offsets
}

/// The gradient by one plane of the input: each element goes to where the winning tap was.
fn give_back(window: &Window, offsets: &[isize], (dy, taps): (&[f32], &[f32]), out: &mut [f32]) {
    out.fill(0.0);
    let [depth, row, column] = window.0;
    let rows = dy.chunks_exact(column.output).zip(taps.chunks_exact(column.output));
    for (number, (dy, taps)) in rows.enumerate() {
        let (z, y) = (depth.origin(number / row.output), row.origin(number % row.output));
        let line = (z * row.input as isize + y) * column.input as isize;
        let mut origin = line + column.origin(0);
        for (&dy, &tap) in dy.iter().zip(taps) {
            if tap >= 0.0 {
                out[(origin + offsets[tap as usize]) as usize] += dy;
            }
            origin += column.stride as isize;
        }
    }
}

/// A run of places at which one tap is inside the input.
struct Line {
    /// Numbers of the places in the output plane.
    places: std::ops::Range<usize>,
    /// Number of the element of the input plane under the tap at the first place.
    first: usize,
    /// Elements from there to that at the next place.
    stride: usize,
}

/// Calls `each` for every tap, in order, and every row of places.
#[inline(always)]
fn lines(window: &Window, mut each: impl FnMut(f32, Line)) {
    let [depth, row, column] = window.0;
    let mut number = 0.0;
    for in_depth in 0..depth.kernel {
        for in_row in 0..row.kernel {
            for in_column in 0..column.kernel {
                let tap = number;
                number += 1.0;
                let columns = column.places(in_column);
                if columns.is_empty() {
                    continue;
                }
                let at = |axis: Axis, place: usize, tap: usize| {
                    (axis.origin(place) + (tap * axis.dilation) as isize) as usize
                };
                for z in depth.places(in_depth) {
                    for y in row.places(in_row) {
                        let place = (z * row.output + y) * column.output;
                        let line = (at(depth, z, in_depth) * row.input + at(row, y, in_row))
                            * column.input;
                        each(
                            tap,
                            Line {
                                places: place + columns.start..place + columns.end,
                                first: line + at(column, columns.start, in_column),
                                stride: column.stride,
                            },
                        );
                    }
                }
            }
        }
    }
}

/// Pairs of a column first, over whole rows of the input; then pairs of columns, over the plane:
/// long loops even where rows are short. `pairs` holds the larger of each column and its tap.
#[inline(always)]
fn largest_plain(
    window: &Window,
    input: &[f32],
    (out, taps): (&mut [f32], &mut [f32]),
    pairs: &mut [f32],
) {
    let [_, row, column] = window.0;
    let width = 2 * column.output;
    let (most, tap) = pairs.split_at_mut(row.output * width);
    let rows = most.chunks_exact_mut(width).zip(tap.chunks_exact_mut(width));
    for ((most, tap), lines) in rows.zip(input.chunks_exact(2 * column.input)) {
        let (upper, lower) = lines.split_at(column.input);
        let (upper, lower) = (&upper[..width], &lower[..width]);
        let (most, tap) = (&mut most[..width], &mut tap[..width]);
        for at in 0..width {
            let (a, c) = (upper[at], lower[at]);
            let takes = (c > a) | c.is_nan();
            most[at] = if takes { c } else { a };
            tap[at] = if takes { 2.0 } else { 0.0 };
        }
    }
    let len = out.len();
    let (most, tap) = (&most.as_chunks::<2>().0[..len], &tap.as_chunks::<2>().0[..len]);
    let taps = &mut taps[..len];
    for at in 0..len {
        let ([a, b], [left, right]) = (most[at], tap[at]);
        let right = right + 1.0;
        // Of equal ones the first in the order of rows, as elsewhere.
        let takes = (b > a) | b.is_nan() | ((b == a) & (right < left));
        out[at] = if takes { b } else { a };
        taps[at] = if takes { right } else { left };
    }
}

/// The numbers in the whole input of the elements taken (ONNX, "MaxPool", output Indices).
fn indices(window: &Window, taps: &[f32]) -> Vec<i64> {
    let [depth, row, column] = window.0;
    let len = window.output_len().max(1);
    let index = |(number, &tap): (usize, &f32)| {
        if tap < 0.0 {
            return -1;
        }
        let (plane, place, tap) = (number / len, number % len, tap as usize);
        let at = |axis: Axis, place: usize, tap: usize| {
            axis.origin(place % axis.output) as i64 + (tap % axis.kernel * axis.dilation) as i64
        };
        let x = at(column, place, tap);
        let (place, tap) = (place / column.output, tap / column.kernel);
        let y = at(row, place, tap);
        let z = at(depth, place / row.output, tap / row.kernel);
        plane as i64 * window.input_len() as i64
            + (z * row.input as i64 + y) * column.input as i64
            + x
    };
    taps.iter().enumerate().map(index).collect()
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let states_indices = site.node.output(1).is_some_and(|name| !name.is_empty());
    if states_indices && site.int("storage_order", 0) != 0 {
        return Err(OpError::new("attribute storage_order is 1, training covers 0"));
    }
    Ok(Box::new(MaxPool { sliding: Sliding::read(site)?, states_indices }))
}

#[cfg(test)]
mod tests {
    use super::super::convolution::reference::{Geometry, geometry, position};
    use crate::testing::{Case, distinct};
    use proptest::prelude::*;

    /// A pool has one channel in and out.
    fn pool(geometry: Geometry) -> Geometry {
        Geometry { inputs: 1, outputs: 1, ..geometry }
    }

    fn case(geometry: &Geometry) -> Case {
        let kernel: Vec<i64> = geometry.lines.iter().map(|line| line.kernel as i64).collect();
        let pads = |end: bool| {
            geometry
                .lines
                .iter()
                .map(move |line| if end { line.pads.1 } else { line.pads.0 } as i64)
        };
        let list = |value: fn(&super::super::convolution::reference::Line) -> usize| {
            geometry.lines.iter().map(|line| value(line) as i64).collect::<Vec<_>>()
        };
        Case::new("MaxPool")
            .with("kernel_shape", &kernel[..])
            .with("strides", &list(|line| line.stride)[..])
            .with("dilations", &list(|line| line.dilation)[..])
            .with("pads", &pads(false).chain(pads(true)).collect::<Vec<_>>()[..])
    }

    proptest! {
        #[test]
        fn forward_is_as_defined(geometry in geometry(9), seed in any::<u64>()) {
            let geometry = pool(geometry);
            let [input, _, output] = geometry.dims();
            let x = distinct(seed, input.iter().product());
            let mut expected = vec![(f32::NEG_INFINITY, -1); output.iter().product()];
            geometry.products(|input, _, output| {
                if x[input] > expected[output].0 {
                    expected[output] = (x[input], input as i64);
                }
            });
            let found = case(&geometry).trained(&input, x).outputs(2).run();
            prop_assert_eq!(&found[0].shape()[..], &output[..]);
            let (values, indices): (Vec<f32>, Vec<i64>) = expected.into_iter().unzip();
            prop_assert_eq!(found[0].as_floats().unwrap(), values);
            prop_assert_eq!(found[1].as_ints().unwrap(), indices);
        }

        #[test]
        fn the_plain_window_takes_what_the_definition_says(
            (height, width) in (2usize..9, 2usize..40), seed in any::<u64>(),
        ) {
            let case = Case::new("MaxPool").with("kernel_shape", [2, 2]).with("strides", [2, 2]);
            let dims = [2, 3, height, width];
            let x = distinct(seed, dims.iter().product());
            let case = case.trained(&dims, x.clone());
            let found = &case.run()[0];
            prop_assert_eq!(&found.shape()[..], &[2, 3, height / 2, width / 2]);
            for (number, &value) in found.as_floats().unwrap().iter().enumerate() {
                let at = position(number, found.shape());
                let plane = (at[0] * 3 + at[1]) * height * width;
                let element = |y: usize, x_at: usize| x[plane + (2 * at[2] + y) * width + 2 * at[3] + x_at];
                let most = element(0, 0).max(element(0, 1)).max(element(1, 0)).max(element(1, 1));
                prop_assert_eq!(value, most);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn gradient(geometry in geometry(5), seed in any::<u64>(), ceil in any::<bool>(), plain in any::<bool>()) {
            let geometry = pool(geometry);
            let [input, _, output] = geometry.dims();
            let x = distinct(seed, input.iter().product());
            // A window over nothing but padding has no finite value.
            let mut taps = vec![0; output.iter().product()];
            geometry.products(|_, _, output| taps[output] += 1);
            prop_assume!(!taps.contains(&0));
            let case = if plain && input.len() == 4 && input[2] > 1 && input[3] > 1 {
                Case::new("MaxPool").with("kernel_shape", [2, 2]).with("strides", [2, 2])
            } else {
                case(&geometry)
            };
            case.with("ceil_mode", i64::from(ceil)).trained(&input, x).check();
        }
    }

    #[test]
    fn the_last_window_of_ceil_mode_does_not_start_in_the_padding() {
        let case = |len: usize, pads: [i64; 2]| {
            let case = Case::new("MaxPool").with("kernel_shape", [2]).with("strides", [2]);
            let case = case.with("ceil_mode", 1).with("pads", pads);
            case.trained(&[1, 1, len], (0..len).map(|at| at as f32).collect()).run()[0].clone()
        };
        assert_eq!(case(3, [0, 0]).as_floats().unwrap(), [1.0, 2.0]);
        assert_eq!(case(3, [1, 1]).as_floats().unwrap(), [0.0, 2.0]);
        assert_eq!(case(4, [0, 1]).as_floats().unwrap(), [1.0, 3.0]);
    }

    #[test]
    fn the_first_of_equal_elements_and_nan_are_taken() {
        for (width, kernel) in [(4, [2, 2]), (6, [2, 3])] {
            let mut x = vec![1.0; 2 * width];
            x[1] = f32::NAN;
            let case = Case::new("MaxPool").with("kernel_shape", kernel).with("strides", kernel);
            let found = case.trained(&[1, 1, 2, width], x).outputs(2).run();
            assert!(found[0].as_floats().unwrap()[0].is_nan());
            assert_eq!(found[0].as_floats().unwrap()[1], 1.0);
            assert_eq!(found[1].as_ints().unwrap(), [1, width as i64 / 2]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let case = || Case::new("MaxPool").trained(&[1, 1, 4], distinct(1, 4));
        let text = case().try_run().unwrap_err();
        assert!(text.contains("attribute kernel_shape is missing"), "{text}");
        let text = case().with("kernel_shape", [5]).try_run().unwrap_err();
        assert!(text.contains("spans 5 elements, more than the 4 of the padded input"), "{text}");
        let text = case().with("kernel_shape", [2, 2]).try_run().unwrap_err();
        assert!(text.contains("a kernel of 2 axes does not fit an input of 1"), "{text}");
        let text = case().with("kernel_shape", [0]).plan_error();
        assert!(text.contains("attribute kernel_shape has 0"), "{text}");
        let large = Case::new("MaxPool").trained(&[1, 1, 1, 1, 1], vec![1.0]);
        let large = large.with("kernel_shape", [1, 1, 1]).with("pads", [1 << 24; 6]);
        let text = large.try_run().unwrap_err();
        assert!(text.contains("outgrows the limit"), "{text}");
    }

    #[test]
    fn sizes_that_overflow_beside_an_empty_batch_are_refused() {
        let dims = [0, 1, 1 << 40, 1 << 40];
        for name in ["MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Conv"] {
            let case = Case::new(name).with("kernel_shape", [1, 1]).trained(&dims, Vec::new());
            let case = if name == "Conv" { case.trained(&[1, 1, 1, 1], vec![1.0]) } else { case };
            let text = case.try_run().unwrap_err();
            assert!(text.contains("[0,1,1099511627776,1099511627776]"), "{text}");
        }
    }
}
