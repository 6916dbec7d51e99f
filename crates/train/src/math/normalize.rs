//! Rows that are normalized by their own mean and deviation, forward and back.
//!
//! Layer, instance, group and root mean square normalization are all this: they differ in what a
//! row is, in whether its mean is subtracted, and in which factor belongs to which element.

use super::{pieces, vector};
use crate::buffers::Buffers;
use crate::workers::Workers;

/// How an array is cut into rows, and which factors scale them.
///
/// Row `r` belongs to group `r % groups`. It has `channels` runs of `spatial` elements; each run
/// has a factor of its own, so there are `groups * channels` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) rows: usize,
    pub(crate) groups: usize,
    pub(crate) channels: usize,
    pub(crate) spatial: usize,
}

/// What rows are divided by, and whether their mean is subtracted before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) centered: bool,
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// One number a row of each: the mean (0 where it is not subtracted), and one over the deviation.
#[derive(Debug)]
pub(crate) struct Statistics<T> {
    pub(crate) mean: T,
    pub(crate) inverse: T,
}

/// What the way back looks at.
pub(crate) struct Kept<'a> {
    pub(crate) centered: bool,
    pub(crate) x: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) statistics: Statistics<&'a [f32]>,
    /// Gradients by the statistics, where they are outputs that the loss depends on.
    pub(crate) by_statistics: Statistics<Option<&'a [f32]>>,
}

/// Gradients by scale and bias.
#[derive(Debug)]
pub(crate) struct ByFactors {
    pub(crate) scale: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// The sum, in double precision over blocks.
pub(crate) fn long_sum(values: &[f32]) -> f64 {
    values.chunks(BLOCK).map(|block| f64::from(vector::sum(block))).sum()
}

/// The sum of squares of distances from `mean`, in the manner of [`long_sum`].
pub(crate) fn long_square_sum(values: &[f32], mean: f32) -> f64 {
    let block_sum = |block: &[f32]| {
        sum_of(
            block,
            block,
            #[inline(always)]
            |value, _| (value - mean) * (value - mean),
        )
    };
    values.chunks(BLOCK).map(|block| f64::from(block_sum(block))).sum()
}

/// Elements that are summed in single precision.
const BLOCK: usize = 4096;

/// The sum of `term` over pairs, in eight strands.
#[inline(always)]
pub(crate) fn sum_of(one: &[f32], two: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    vector::vectorized(
        #[inline(always)]
        || {
            let (ones, rest_of_one) = one.as_chunks::<8>();
            let (twos, rest_of_two) = two.as_chunks::<8>();
            let mut strands = [0f32; 8];
            for (one, two) in ones.iter().zip(twos) {
                for strand in 0..8 {
                    strands[strand] += term(one[strand], two[strand]);
                }
            }
            let rest = rest_of_one.iter().zip(rest_of_two);
            strands.iter().sum::<f32>() + rest.map(|(&one, &two)| term(one, two)).sum::<f32>()
        },
    )
}

impl Kind {
    /// The mean (0 where it is not subtracted) of a row and one over its deviation. In two passes:
    /// the difference of two large squares would be rounding alone where the mean is far from 0.
    fn statistics(&self, x: &[f32]) -> (f32, f32) {
        let size = x.len() as f64;
        let mean = if self.centered { (long_sum(x) / size) as f32 } else { 0.0 };
        let variance = long_square_sum(x, mean) / size;
        (mean, (1.0 / (variance + f64::from(self.epsilon)).sqrt()) as f32)
    }
}

impl Rows {
    /// Elements of a row.
    pub(crate) fn size(&self) -> usize {
        self.channels * self.spatial
    }

    /// Number of factors.
    pub(crate) fn factors(&self) -> usize {
        self.groups * self.channels
    }

    /// The factors of a row.
    fn of_row<'a>(&self, factors: &'a [f32], row: usize) -> &'a [f32] {
        &factors[row % self.groups * self.channels..][..self.channels]
    }

    /// Writes normalized rows of `x`, times `scale` plus `bias`, to `out`; gives their statistics.
    pub(crate) fn forward(
        &self,
        workers: &Workers,
        kind: Kind,
        (x, scale, bias): (&[f32], &[f32], &[f32]),
        out: &mut [f32],
    ) -> Statistics<Vec<f32>> {
        let mut statistics =
            Statistics { mean: vec![0.0; self.rows], inverse: vec![0.0; self.rows] };
        let size = self.size();
        if out.is_empty() {
            return statistics;
        }
        let step = pieces::rows_per_piece(self.rows, size);
        let found = statistics.mean.chunks_mut(step).zip(statistics.inverse.chunks_mut(step));
        let items = x.chunks(step * size).zip(out.chunks_mut(step * size)).zip(found).enumerate();
        workers.for_each(items.collect(), |(piece, ((x, out), (means, inverses)))| {
            let rows = x.chunks_exact(size).zip(out.chunks_exact_mut(size));
            let rows = rows.zip(means.iter_mut().zip(inverses)).enumerate();
            for (row, ((x, out), (mean, inverse))) in rows {
                (*mean, *inverse) = kind.statistics(x);
                let row = piece * step + row;
                let factors = (self.of_row(scale, row), self.of_row(bias, row));
                self.scale_row(x, (*mean, *inverse), factors, out);
            }
        });
        statistics
    }

    fn scale_row(
        &self,
        x: &[f32],
        (mean, inverse): (f32, f32),
        (scale, bias): (&[f32], &[f32]),
        out: &mut [f32],
    ) {
        if self.spatial == 1 {
            return vector::vectorized(|| {
                let factors = scale.iter().zip(bias);
                for ((out, x), (scale, bias)) in out.iter_mut().zip(x).zip(factors) {
                    *out = (x - mean) * inverse * scale + bias;
                }
            });
        }
        let runs = out.chunks_exact_mut(self.spatial).zip(x.chunks_exact(self.spatial));
        for ((out, x), (scale, bias)) in runs.zip(scale.iter().zip(bias)) {
            let scale = inverse * scale;
            vector::map(
                out,
                x,
                #[inline(always)]
                |x| (x - mean) * scale + bias,
            );
        }
    }

    /// Turns the gradient by the output into that by `x`, in place; gives those by scale and bias
    /// where they are wanted.
    pub(crate) fn backward(
        &self,
        (workers, buffers): (&Workers, &mut Buffers),
        kept: &Kept<'_>,
        gradient: &mut [f32],
        wants_factors: bool,
    ) -> Option<ByFactors> {
        let (size, factors) = (self.size(), self.factors());
        let mut sum = wants_factors
            .then(|| ByFactors { scale: buffers.zeros(factors), bias: buffers.zeros(factors) });
        if gradient.is_empty() {
            return sum;
        }
        let step = pieces::rows_per_piece(self.rows, size);
        let count = self.rows.div_ceil(step);
        let mut parts: Vec<Option<ByFactors>> = (0..count)
            .map(|_| {
                let zeros = || vec![0.0; factors];
                wants_factors.then(|| ByFactors { scale: zeros(), bias: zeros() })
            })
            .collect();
        let items = gradient.chunks_mut(step * size).zip(&mut parts).enumerate();
        workers.for_each(items.collect(), |(piece, (gradient, part))| {
            for (row, gradient) in gradient.chunks_exact_mut(size).enumerate() {
                self.backward_row(piece * step + row, kept, gradient, part.as_mut());
            }
        });
        if let Some(sum) = &mut sum {
            for part in parts.iter().flatten() {
                vector::add(&mut sum.scale, &part.scale);
                vector::add(&mut sum.bias, &part.bias);
            }
        }
        sum
    }

    /// With h the normalized row and g the gradient times scale:
    /// `dx = (g - mean(g) - h mean(g h)) / deviation`, where the first mean falls away when rows
    /// are not centered.
    fn backward_row(
        &self,
        row: usize,
        kept: &Kept<'_>,
        dy: &mut [f32],
        mut sum: Option<&mut ByFactors>,
    ) {
        let size = self.size();
        let x = &kept.x[row * size..][..size];
        let scale = self.of_row(kept.scale, row);
        let (mean, inverse) = (kept.statistics.mean[row], kept.statistics.inverse[row]);
        let first = row % self.groups * self.channels;
        let sums = sum.as_mut().map(|sum| {
            (&mut sum.scale[first..][..self.channels], &mut sum.bias[first..][..self.channels])
        });
        let (by_mean, by_deviation) = if self.spatial == 1 {
            scale_by_element(dy, x, (scale, mean, inverse), sums)
        } else {
            scale_by_run(dy, x, (scale, mean, inverse), sums)
        };
        let of = |gradients: Option<&[f32]>| gradients.map_or(0.0, |gradients| gradients[row]);
        let by_mean = (by_mean - of(kept.by_statistics.mean) / inverse) / size as f32;
        let by_deviation = (by_deviation + of(kept.by_statistics.inverse) * inverse) / size as f32;
        let by_mean = if kept.centered { by_mean } else { 0.0 };
        vector::vectorized(|| {
            for (dy, x) in dy.iter_mut().zip(x) {
                *dy = inverse * (*dy - by_mean - (x - mean) * inverse * by_deviation);
            }
        });
    }
}

/// Multiplies a row of gradients by its factors, one an element; gives the sums of the products
/// and of the products with the normalized row. Adds the gradients by the factors to `sums`.
fn scale_by_element(
    dy: &mut [f32],
    x: &[f32],
    (scale, mean, inverse): (&[f32], f32, f32),
    sums: Option<(&mut [f32], &mut [f32])>,
) -> (f32, f32) {
    if let Some((by_scale, by_bias)) = sums {
        vector::vectorized(|| {
            let pairs = dy.iter().zip(x);
            for ((by_scale, by_bias), (dy, x)) in by_scale.iter_mut().zip(by_bias).zip(pairs) {
                *by_scale += dy * ((x - mean) * inverse);
                *by_bias += dy;
            }
        });
    }
    vector::multiply(dy, scale);
    let with_row = sum_of(
        dy,
        x,
        #[inline(always)]
        |dy, x| dy * ((x - mean) * inverse),
    );
    (vector::sum(dy), with_row)
}

/// The same where each factor belongs to a run of elements.
fn scale_by_run(
    dy: &mut [f32],
    x: &[f32],
    (scale, mean, inverse): (&[f32], f32, f32),
    mut sums: Option<(&mut [f32], &mut [f32])>,
) -> (f32, f32) {
    let spatial = dy.len() / scale.len();
    let runs = dy.chunks_exact_mut(spatial).zip(x.chunks_exact(spatial));
    let (mut sum, mut sum_with_row) = (0f64, 0f64);
    for (channel, ((dy, x), &scale)) in runs.zip(scale).enumerate() {
        let of_run = vector::sum(dy);
        let with_row = sum_of(
            dy,
            x,
            #[inline(always)]
            |dy, x| dy * ((x - mean) * inverse),
        );
        if let Some((by_scale, by_bias)) = &mut sums {
            by_scale[channel] += with_row;
            by_bias[channel] += of_run;
        }
        sum += f64::from(scale * of_run);
        sum_with_row += f64::from(scale * with_row);
        vector::scale(dy, scale);
    }
    (sum as f32, sum_with_row as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_far_from_zero_does_not_spoil_the_deviation() {
        let x: Vec<f32> = (0..9000).map(|at| 10_000.0 + (at % 2) as f32).collect();
        let (mean, inverse) = Kind { centered: true, epsilon: 0.0 }.statistics(&x);
        assert_eq!(mean, 10_000.5);
        assert!((inverse - 2.0).abs() < 1e-4, "{inverse}");
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let rows = Rows { rows: 600, groups: 3, channels: 4, spatial: 33 };
        let values =
            |len: usize| (0..len).map(|at| (at as f32 * 0.7).sin() + 1.0).collect::<Vec<f32>>();
        let (x, dy) = (values(600 * 132), values(600 * 132 + 5)[5..].to_vec());
        let (scale, bias) = (values(12), vec![0.5; 12]);
        let kind = Kind { centered: true, epsilon: 1e-5 };
        let run = |threads| {
            let workers = Workers::new(threads).unwrap();
            let mut out = vec![0.0; x.len()];
            let found = rows.forward(&workers, kind, (&x, &scale, &bias), &mut out);
            let statistics = Statistics { mean: &found.mean[..], inverse: &found.inverse[..] };
            let by_statistics = Statistics { mean: None, inverse: None };
            let kept = Kept { centered: true, x: &x, scale: &scale, statistics, by_statistics };
            let mut gradient = dy.clone();
            let buffers = &mut Buffers::default();
            let factors = rows.backward((&workers, buffers), &kept, &mut gradient, true).unwrap();
            (out, gradient, factors.scale, factors.bias)
        };
        assert_eq!(run(1), run(3));
    }
}
