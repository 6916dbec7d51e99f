//! Windows over images with channels last, as TensorFlow Lite's kernels move them.

use super::layout::Window;
use super::stop::{Stop, mismatch};
use crate::reference::Array;
use crate::reference::layout::elements;
use crate::reference::matmul::linear;

/// Where a window stands on the image, for all images of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) batch: usize,
    /// Height and width of the input.
    pub(crate) input: [usize; 2],
    pub(crate) channels: usize,
    /// Height and width of the output.
    pub(crate) output: [usize; 2],
    kernel: [usize; 2],
    window: Window,
    before: [usize; 2],
}

impl Grid {
    /// The positions of a window of `kernel` (height and width) over images of this shape.
    pub(crate) fn new(dims: &[usize], kernel: [usize; 2], window: Window) -> Result<Grid, Stop> {
        let &[batch, height, width, channels] = dims else {
            return Err(mismatch(format!("expected an image, found shape {dims:?}")));
        };
        let input = [height, width];
        let before = [0, 1].map(|axis| window.pads(axis, input[axis], kernel).0);
        let output = [0, 1].map(|axis| window.positions(axis, input[axis], kernel));
        elements(&[batch, output[0], output[1], kernel[0], kernel[1], channels])?;
        Ok(Grid { batch, input, channels, output, kernel, window, before })
    }

    /// Shape of the output with this many channels.
    pub(crate) fn dims(&self, channels: usize) -> [usize; 4] {
        [self.batch, self.output[0], self.output[1], channels]
    }

    /// How many positions there are.
    pub(crate) fn positions(&self) -> usize {
        self.batch * self.output[0] * self.output[1]
    }

    /// For each position of the window, in order: where its elements lie. `visit` gets the number
    /// of the position, that of the place in the window, and where the first channel of the image
    /// lies there; places outside of the image are left out.
    pub(crate) fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let mut position = 0;
        for image in 0..self.batch {
            for y in 0..self.output[0] {
                for x in 0..self.output[1] {
                    self.places(y, x, |place, row, column| {
                        let pixel = (image * self.input[0] + row) * self.input[1] + column;
                        visit(position, place, pixel * self.channels);
                    });
                    position += 1;
                }
            }
        }
    }

    /// The places of the window at one position that are inside of the image.
    fn places(&self, y: usize, x: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let at = |axis: usize, position: usize, tap: usize| {
            let moved = position * self.window.strides[axis] + tap * self.window.dilations[axis];
            moved.checked_sub(self.before[axis]).filter(|&at| at < self.input[axis])
        };
        for tap_y in 0..self.kernel[0] {
            let Some(row) = at(0, y, tap_y) else { continue };
            for tap_x in 0..self.kernel[1] {
                let Some(column) = at(1, x, tap_x) else { continue };
                visit(tap_y * self.kernel[1] + tap_x, row, column);
            }
        }
    }

    /// The elements below each position of the window, a row each, channels `from..from + count`
    /// of the image; zeros outside.
    pub(crate) fn patches(&self, image: &[f32], from: usize, count: usize) -> Vec<f32> {
        let row = self.kernel[0] * self.kernel[1] * count;
        let mut patches = vec![0.0; self.positions() * row];
        self.each(|position, place, at| {
            let start = position * row + place * count;
            patches[start..start + count].copy_from_slice(&image[at + from..at + from + count]);
        });
        patches
    }
}

/// Products of rows: `[rows, k]` times the transpose of `[out, k]`.
pub(crate) fn products(x: &[f32], weights: &[f32], out: usize, k: usize) -> Result<Vec<f32>, Stop> {
    let rows = x.len() / k.max(1);
    let x = Array::floats(&[rows, k], x.to_vec())?;
    let weights = Array::floats(&[out, k], weights.to_vec())?;
    Ok(linear(&x, &weights, None)?.as_floats()?.to_vec())
}

/// Products of rows of integers that fit 16 bits, exactly.
pub(crate) fn integer_products(
    x: &[f32],
    weights: &[f32],
    out: usize,
    k: usize,
) -> Result<Vec<i64>, Stop> {
    let largest = |values: &[f32]| values.iter().fold(1f32, |most, value| most.max(value.abs()));
    // As many terms as a float of 24 bits adds up without rounding.
    let terms = (f64::from(1 << 24) / f64::from(largest(x)) / f64::from(largest(weights))) as usize;
    let terms = terms.clamp(1, k.max(1));
    let rows = x.len() / k.max(1);
    let mut sums = vec![0i64; rows * out];
    for start in (0..k).step_by(terms) {
        let end = (start + terms).min(k);
        let part = |values: &[f32]| -> Vec<f32> {
            values.chunks_exact(k).flat_map(|row| &row[start..end]).copied().collect()
        };
        let partial = products(&part(x), &part(weights), out, end - start)?;
        for (sum, value) in sums.iter_mut().zip(partial) {
            *sum += value as i64;
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tflite::schema::Padding;

    #[test]
    fn patches_are_rows() {
        let window = Window { padding: Padding::Same, strides: [1, 1], dilations: [1, 1] };
        let grid = Grid::new(&[1, 2, 2, 1], [2, 2], window).unwrap();
        let patches = grid.patches(&[1.0, 2.0, 3.0, 4.0], 0, 1);
        assert_eq!(grid.dims(5), [1, 2, 2, 5]);
        assert_eq!(patches[..8], [1.0, 2.0, 3.0, 4.0, 2.0, 0.0, 4.0, 0.0]);
    }

    #[test]
    fn integers_are_added_up_exactly() {
        let x = vec![32767.0; 1000];
        let weights = vec![127.0; 1000];
        let sums = integer_products(&x, &weights, 1, 1000).unwrap();
        assert_eq!(sums, [32767 * 127 * 1000]);
    }
}
