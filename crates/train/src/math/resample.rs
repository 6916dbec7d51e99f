//! Linear maps along single axes: each element of the result is a weighted sum of a few elements
//! of the same line. Averaging and resizing are such maps, one an axis, and so are their
//! gradients, with the maps transposed.

use crate::error::OpError;
use crate::math::vector;
use crate::operator::Scope;

/// Pieces that the work along one axis is shared out in.
const PIECES: usize = 8;

/// The weighted sums along one axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    input: usize,
    /// Where the terms of each element of the result start; one entry more at the end.
    starts: Vec<usize>,
    /// Number of an element of the input, and its weight.
    terms: Vec<(usize, f32)>,
}

impl Line {
    /// A map from `input` elements to one element for each list of terms. Terms outside of the
    /// input are a fault of the caller.
    pub(crate) fn new(input: usize, lists: impl IntoIterator<Item = Vec<(usize, f32)>>) -> Line {
        let mut line = Line { input, starts: vec![0], terms: Vec::new() };
        for list in lists {
            line.terms.extend(list);
            line.starts.push(line.terms.len());
        }
        line
    }

    /// The transposed map.
    pub(crate) fn transposed(&self) -> Line {
        let mut lists = vec![Vec::new(); self.input];
        for element in 0..self.output() {
            for &(number, weight) in self.terms(element) {
                lists[number].push((element, weight));
            }
        }
        Line::new(self.output(), lists)
    }

    /// Elements of the result.
    fn output(&self) -> usize {
        self.starts.len() - 1
    }

    fn terms(&self, element: usize) -> &[(usize, f32)] {
        &self.terms[self.starts[element]..self.starts[element + 1]]
    }

    /// The sums of one block of `input` lines of `inner` elements.
    fn apply(&self, input: &[f32], out: &mut [f32], inner: usize) {
        if inner == 1 {
            for (element, out) in out.iter_mut().enumerate() {
                let terms = self.terms(element).iter();
                *out = terms.map(|&(number, weight)| weight * input[number]).sum();
            }
            return;
        }
        for (element, out) in out.chunks_exact_mut(inner).enumerate() {
            out.fill(0.0);
            for &(number, weight) in self.terms(element) {
                let line = &input[number * inner..][..inner];
                vector::vectorized(|| {
                    out.iter_mut().zip(line).for_each(|(sum, value)| *sum += weight * value);
                });
            }
        }
    }
}

/// Applies one map an axis to an array of shape `dims`, whose last axes these are; `None` leaves
/// an axis as it is.
pub(crate) fn apply(
    scope: &mut Scope<'_>,
    input: &[f32],
    dims: &[usize],
    lines: &[Option<Line>],
) -> Result<Vec<f32>, OpError> {
    let mut dims = dims.to_vec();
    let first = dims.len() - lines.len();
    let mut result: Option<Vec<f32>> = None;
    for (axis, line) in lines.iter().enumerate() {
        let Some(line) = line else { continue };
        let axis = first + axis;
        dims[axis] = line.output();
        let len = scope.elements(&dims)?;
        let inner: usize = dims[axis + 1..].iter().product();
        let (from, to) = (inner * line.input, inner * line.output());
        let mut out = scope.buffers.take(len);
        let source = result.as_deref().unwrap_or(input);
        let blocks = len.checked_div(to).unwrap_or(0).div_ceil(PIECES);
        let pieces = out.chunks_mut((blocks * to).max(1)).enumerate().collect();
        scope.share(2 * len.max(source.len()), pieces, |(piece, out): (usize, &mut [f32])| {
            for (block, out) in out.chunks_exact_mut(to).enumerate() {
                let start = (piece * blocks + block) * from;
                line.apply(&source[start..start + from], out, inner);
            }
            Ok(())
        })?;
        if let Some(done) = result.replace(out) {
            scope.buffers.give(done);
        }
    }
    Ok(result.unwrap_or_else(|| {
        let mut copy = scope.buffers.take(input.len());
        copy.copy_from_slice(input);
        copy
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transposed_map_swaps_elements_and_terms() {
        let line = Line::new(3, [vec![(0, 0.5), (1, 0.5)], vec![(2, 2.0)]]);
        let transposed = line.transposed();
        let expected = Line::new(2, [vec![(0, 0.5)], vec![(0, 0.5)], vec![(1, 2.0)]]);
        assert_eq!(transposed, expected);
        assert_eq!(transposed.transposed(), line);
        let mut out = [0.0; 4];
        line.apply(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut out, 2);
        assert_eq!(out, [2.0, 3.0, 10.0, 12.0]);
    }
}
