//! The two loops that convolutions spend their time in.
//!
//! Both read a matrix whose rows may overlap: row `r` is the run of `data` from `starts[r]` on. A
//! kernel that slides with stride 1 over a plane reads such a matrix directly: row (channel, tap)
//! is the plane from the tap's offset on. Nothing is unfolded, nothing packed but the weights.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

/// Elements past the end of the last row that must be there to read, for whole vectors.
pub(crate) const SLACK: usize = 64;

/// `len` rounded up to whole vectors of any processor.
pub(crate) const fn padded(len: usize) -> usize {
    len.next_multiple_of(SLACK)
}

/// A matrix of weights, in panels of some rows each that are used together.
pub(crate) struct Panels {
    data: Vec<f32>,
    height: usize,
    rows: usize,
    depth: usize,
}

/// Rows of a panel at most.
pub(crate) const PANEL_ROWS_MAX: usize = 8;

impl Panels {
    /// Packs `rows` rows of `depth` elements each; `weight(row, r)` is the element.
    pub(crate) fn new(rows: usize, depth: usize, weight: impl Fn(usize, usize) -> f32) -> Panels {
        let height = match rows {
            0..=1 => 1,
            2..=4 => 4,
            _ => PANEL_ROWS_MAX,
        };
        let mut data = vec![0.0; rows.next_multiple_of(height) * depth];
        for row in 0..rows {
            let panel = &mut data[row / height * height * depth..];
            for r in 0..depth {
                panel[r * height + row % height] = weight(row, r);
            }
        }
        Panels { data, height, rows, depth }
    }

    /// The panels, each with the numbers of its rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (std::ops::Range<usize>, Panel<'_>)> {
        let height = self.height;
        (0..self.rows).step_by(height).map(move |first| {
            let data = &self.data[first * self.depth..(first + height) * self.depth];
            (first..self.rows.min(first + height), Panel { data, height })
        })
    }
}

/// One panel of [`Panels`].
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    data: &'a [f32],
    height: usize,
}

/// The matrix whose rows may overlap.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The elements, with [`SLACK`] more at the end.
    pub(crate) data: &'a [f32],
    /// Where each row starts.
    pub(crate) starts: &'a [usize],
    /// Elements of a row.
    pub(crate) len: usize,
}

/// `tile[row][q] = sum over r of panel[row][r] * rows[r][q]`; a row of the tile takes
/// `padded(rows.len)` elements, of which those past `rows.len` are left unspecified. The tile has
/// as many rows as the panel could have.
pub(crate) fn correlate(tile: &mut [f32], panel: Panel<'_>, rows: Rows<'_>) {
    Correlate { tile, panel, rows }.dispatch();
}

struct Correlate<'a> {
    tile: &'a mut [f32],
    panel: Panel<'a>,
    rows: Rows<'a>,
}

impl SimdOp for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // So many sums as registers hold: 32 where vectors have 16 lanes, else 16.
        let wide = isa.f32().len() >= 16;
        match (self.panel.height, wide) {
            (1, true) => self.sweep::<I, 1, 8>(isa),
            (1, false) => self.sweep::<I, 1, 4>(isa),
            (4, true) => self.sweep::<I, 4, 4>(isa),
            (4, false) => self.sweep::<I, 4, 2>(isa),
            (_, true) => self.sweep::<I, PANEL_ROWS_MAX, 3>(isa),
            (_, false) => self.sweep::<I, PANEL_ROWS_MAX, 1>(isa),
        }
    }
}

impl Correlate<'_> {
    /// Blocks of `N` vectors, then of one.
    #[inline(always)]
    fn sweep<I: Isa, const M: usize, const N: usize>(self, isa: I) {
        let Correlate { tile, panel, rows } = self;
        let lanes = isa.f32().len();
        let (panel, stride) = (panel.data.as_chunks::<M>().0, padded(rows.len));
        let mut at = 0;
        while at < rows.len {
            let (tile, data) = (&mut tile[at..], &rows.data[at..]);
            let left = rows.len - at;
            if left > (N - 1) * lanes {
                block::<I, M, N>(isa, (tile, stride), panel, (data, rows.starts));
                at += N * lanes;
            } else if left > lanes {
                block::<I, M, 2>(isa, (tile, stride), panel, (data, rows.starts));
                at += 2 * lanes;
            } else {
                block::<I, M, 1>(isa, (tile, stride), panel, (data, rows.starts));
                at += lanes;
            }
        }
    }
}

/// `M` rows by `N` vectors of the tile.
#[inline(always)]
fn block<I: Isa, const M: usize, const N: usize>(
    isa: I,
    (tile, stride): (&mut [f32], usize),
    panel: &[[f32; M]],
    (data, starts): (&[f32], &[usize]),
) {
    let ops = isa.f32();
    let mut sums = [[ops.zero(); N]; M];
    for (weights, &start) in panel.iter().zip(starts) {
        let values = ops.load_many::<N>(&data[start..]);
        for m in 0..M {
            let weight = ops.splat(weights[m]);
            for n in 0..N {
                sums[m][n] = ops.mul_add(values[n], weight, sums[m][n]);
            }
        }
    }
    for m in 0..M {
        for n in 0..N {
            ops.store(sums[m][n], &mut tile[m * stride + n * ops.len()..]);
        }
    }
}

/// Pairs of matrices whose rows are multiplied with each other; see [`dots`].
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'a> {
    /// The left matrices: rows of `padded(len)` elements that follow one another; elements that do
    /// not count are 0, and so are those past `len`.
    pub(crate) left: &'a [f32],
    /// Rows of a left matrix.
    pub(crate) rows: usize,
    /// The right matrices; all of their elements are finite where the left are 0.
    pub(crate) right: Rows<'a>,
    /// Elements from one right matrix to the next.
    pub(crate) right_step: usize,
    /// Number of pairs.
    pub(crate) count: usize,
}

/// `sums[row][r] += sum over pairs and q of left[row][q] * right[r][q]`.
pub(crate) fn dots(sums: &mut [f32], pairs: Pairs<'_>) {
    Dots { sums, pairs }.dispatch();
}

struct Dots<'a> {
    sums: &'a mut [f32],
    pairs: Pairs<'a>,
}

impl SimdOp for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let wide = isa.f32().len() >= 16;
        match (self.pairs.rows, wide) {
            (1, _) => self.sweep::<I, 1, 9>(isa),
            (_, true) => self.sweep::<I, 4, 6>(isa),
            (_, false) => self.sweep::<I, 3, 3>(isa),
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    fn sweep<I: Isa, const M: usize, const R: usize>(self, isa: I) {
        let (ops, pairs) = (isa.f32(), self.pairs);
        let depth = pairs.right.starts.len();
        for row in (0..pairs.rows).step_by(M) {
            for first in (0..depth).step_by(R) {
                // Rows past the end are the last once more; their sums are not kept.
                let start = |r: usize| pairs.right.starts[(first + r).min(depth - 1)];
                let starts = std::array::from_fn(start);
                let rows = std::array::from_fn(|m| (row + m).min(pairs.rows - 1));
                let sums = dots_block::<I, M, R>(isa, &pairs, rows, starts);
                for (row, sums) in (row..pairs.rows).zip(sums) {
                    let kept = &mut self.sums[row * depth..][..depth][first..];
                    kept.iter_mut().zip(sums).for_each(|(sum, lanes)| *sum += ops.sum(lanes));
                }
            }
        }
    }
}

/// The sums of `M` left by `R` right rows, over all pairs; lanes not yet added up.
#[inline(always)]
fn dots_block<I: Isa, const M: usize, const R: usize>(
    isa: I,
    pairs: &Pairs<'_>,
    rows: [usize; M],
    starts: [usize; R],
) -> [[I::F32; R]; M] {
    let ops = isa.f32();
    let (len, lanes) = (pairs.right.len, ops.len());
    let mut sums = [[ops.zero(); R]; M];
    let stride = padded(len);
    for pair in 0..pairs.count {
        let left = &pairs.left[pair * pairs.rows * stride..][..pairs.rows * stride];
        let lefts: [&[f32]; M] = std::array::from_fn(|m| &left[rows[m] * stride..][..stride]);
        let right = &pairs.right.data[pair * pairs.right_step..];
        let rights: [&[f32]; R] = std::array::from_fn(|r| &right[starts[r]..][..stride]);
        for at in (0..len).step_by(lanes) {
            let left: [I::F32; M] = std::array::from_fn(
                #[inline(always)]
                |m| ops.load(&lefts[m][at..at + lanes]),
            );
            for r in 0..R {
                let value = ops.load(&rights[r][at..at + lanes]);
                for m in 0..M {
                    sums[m][r] = ops.mul_add(left[m], value, sums[m][r]);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbers;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_as_defined(
            (height, depth, len, count) in (1usize..12, 1usize..14, 1usize..200, 1usize..3),
            seed in any::<u64>(),
        ) {
            let starts: Vec<usize> = (0..depth).map(|r| r * 37 % 50).collect();
            let step = 50 + padded(len) + SLACK;
            let data = numbers(seed, step * count);
            let weights = numbers(!seed, height * depth);
            let rows = Rows { data: &data, starts: &starts, len };
            let panels = Panels::new(height, depth, |row, r| weights[row * depth + r]);
            for (numbers, panel) in panels.iter() {
                let mut tile = vec![0.0; PANEL_ROWS_MAX * padded(len)];
                correlate(&mut tile, panel, rows);
                for (m, row) in numbers.enumerate() {
                    for q in 0..len {
                        let products =
                            (0..depth).map(|r| weights[row * depth + r] * data[starts[r] + q]);
                        let expected: f32 = products.sum();
                        prop_assert!((tile[m * padded(len) + q] - expected).abs() < 1e-4);
                    }
                }
            }
            let mut left = numbers(seed ^ 1, height * padded(len) * count);
            left.chunks_mut(padded(len)).for_each(|row| row[len..].fill(0.0));
            let mut sums = vec![1.0; height * depth];
            let pairs = Pairs {
                left: &left, rows: height, right: rows, right_step: step, count,
            };
            dots(&mut sums, pairs);
            for row in 0..height {
                for r in 0..depth {
                    let products = (0..count).flat_map(|pair| {
                        let left = &left[(pair * height + row) * padded(len)..][..len];
                        let right = &data[pair * step + starts[r]..][..len];
                        left.iter().zip(right).map(|(one, two)| one * two)
                    });
                    let expected = 1.0 + products.sum::<f32>();
                    prop_assert!((sums[row * depth + r] - expected).abs() < 1e-3);
                }
            }
        }
    }
}
