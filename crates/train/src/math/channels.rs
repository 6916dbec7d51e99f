//! Arrays of shape [N, C, ...]: sums by channel, and maps with numbers that belong to channels.

use super::{normalize, pieces, vector};
use crate::workers::Workers;

/// `samples` times `channels` runs of `spatial` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) samples: usize,
    pub(crate) channels: usize,
    pub(crate) spatial: usize,
}

/// By channel: `out = by_one * one + by_two * (two - center) + add`.
pub(crate) struct Combination<'a> {
    pub(crate) by_one: &'a [f32],
    pub(crate) by_two: &'a [f32],
    pub(crate) center: &'a [f32],
    pub(crate) add: &'a [f32],
}

impl Channels {
    fn size(&self) -> usize {
        self.channels * self.spatial
    }

    /// Elements of one channel in all samples.
    pub(crate) fn count(&self) -> usize {
        self.samples * self.spatial
    }

    /// By channel: the sum of `term(one, two, center)` over all its elements.
    pub(crate) fn sums(
        &self,
        workers: &Workers,
        (one, two, center): (&[f32], &[f32], &[f32]),
        term: impl Fn(f32, f32, f32) -> f32 + Sync,
    ) -> Vec<f32> {
        let mut sums = vec![0.0; self.channels];
        if one.is_empty() {
            return sums;
        }
        let step = pieces::rows_per_piece(self.channels, self.count());
        let items = sums.chunks_mut(step).enumerate().collect();
        workers.for_each(items, |(piece, sums)| {
            let first = piece * step;
            if self.spatial == 1 {
                return self.column_sums((one, two, center), first, sums, &term);
            }
            for (at, sum) in sums.iter_mut().enumerate() {
                let channel = first + at;
                let center = center[channel];
                let runs = (0..self.samples).map(|sample| {
                    let start = sample * self.size() + channel * self.spatial;
                    let run = start..start + self.spatial;
                    let sum = normalize::sum_of(&one[run.clone()], &two[run], |one, two| {
                        term(one, two, center)
                    });
                    f64::from(sum)
                });
                *sum = runs.sum::<f64>() as f32;
            }
        });
        sums
    }

    /// The sums of channels from `first` on where each has one element a sample.
    fn column_sums(
        &self,
        (one, two, center): (&[f32], &[f32], &[f32]),
        first: usize,
        sums: &mut [f32],
        term: &(impl Fn(f32, f32, f32) -> f32 + Sync),
    ) {
        let columns = first..first + sums.len();
        let center = &center[columns.clone()];
        let rows = one.chunks_exact(self.channels).zip(two.chunks_exact(self.channels));
        for (one, two) in rows {
            let (one, two) = (&one[columns.clone()], &two[columns.clone()]);
            vector::vectorized(
                #[inline(always)]
                || {
                    let values = one.iter().zip(two).zip(center);
                    for (sum, ((&one, &two), &center)) in sums.iter_mut().zip(values) {
                        *sum += term(one, two, center);
                    }
                },
            );
        }
    }

    /// `out = scale * (x - center) + add`, by channel.
    pub(crate) fn scale(
        &self,
        workers: &Workers,
        out: &mut [f32],
        x: &[f32],
        (scale, center, add): (&[f32], &[f32], &[f32]),
    ) {
        self.rows(workers, out, |start, channel, out| {
            let x = &x[start..start + out.len()];
            if self.spatial == 1 {
                vector::vectorized(|| {
                    let by_channel = scale.iter().zip(center).zip(add);
                    let values = out.iter_mut().zip(x).zip(by_channel);
                    for ((out, x), ((scale, center), add)) in values {
                        *out = scale * (x - center) + add;
                    }
                });
            } else {
                let (scale, center, add) = (scale[channel], center[channel], add[channel]);
                vector::map(
                    out,
                    x,
                    #[inline(always)]
                    |x| scale * (x - center) + add,
                );
            }
        });
    }

    /// Replaces `one` by its [`Combination`] with `two`.
    pub(crate) fn combine(
        &self,
        workers: &Workers,
        (one, two): (&mut [f32], &[f32]),
        with: &Combination<'_>,
    ) {
        let &Combination { by_one, by_two, center, add } = with;
        self.rows(workers, one, |start, channel, one| {
            let two = &two[start..start + one.len()];
            if self.spatial == 1 {
                vector::vectorized(|| {
                    let factors = by_one.iter().zip(by_two).zip(center.iter().zip(add));
                    let values = one.iter_mut().zip(two).zip(factors);
                    for ((one, two), ((by_one, by_two), (center, add))) in values {
                        *one = by_one * *one + by_two * (two - center) + add;
                    }
                });
            } else {
                let (by_one, by_two) = (by_one[channel], by_two[channel]);
                let (center, add) = (center[channel], add[channel]);
                vector::vectorized(|| {
                    for (one, two) in one.iter_mut().zip(two) {
                        *one = by_one * *one + by_two * (two - center) + add;
                    }
                });
            }
        });
    }

    /// Calls `work` for every run of one channel, or for every sample where runs are single
    /// elements, with where it starts, its channel and its part of `out`.
    fn rows(
        &self,
        workers: &Workers,
        out: &mut [f32],
        work: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        if out.is_empty() {
            return;
        }
        let (rows, size) = if self.spatial == 1 {
            (self.samples, self.channels)
        } else {
            (self.samples * self.channels, self.spatial)
        };
        let step = pieces::rows_per_piece(rows, size);
        let items = out.chunks_mut(step * size).enumerate().collect();
        workers.for_each(items, |(piece, out)| {
            for (row, out) in out.chunks_exact_mut(size).enumerate() {
                let row = piece * step + row;
                work(row * size, row % self.channels, out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_maps_follow_channels() {
        for (samples, channels, spatial) in [(2, 3, 1), (3, 2, 11), (70, 5, 100), (300, 70, 1)] {
            let array = Channels { samples, channels, spatial };
            let len = samples * channels * spatial;
            let x: Vec<f32> = (0..len).map(|at| (at % 13) as f32).collect();
            let center: Vec<f32> = (0..channels).map(|channel| channel as f32).collect();
            let channel = |at: usize| at / spatial % channels;
            for threads in [1, 3] {
                let workers = Workers::new(threads).unwrap();
                let found = array.sums(&workers, (&x, &x, &center), |x, y, c| x + y - c);
                let mut expected = vec![0.0; channels];
                (0..len).for_each(|at| expected[channel(at)] += 2.0 * x[at] - center[channel(at)]);
                assert_eq!(found, expected);
                let mut out = vec![0.0; len];
                array.scale(&workers, &mut out, &x, (&center, &center, &found));
                let scaled = |at: usize| {
                    let c = center[channel(at)];
                    c * (x[at] - c) + found[channel(at)]
                };
                assert!((0..len).all(|at| out[at] == scaled(at)));
                let (by_one, by_two) = (&found, &center);
                let with = Combination { by_one, by_two, center: &center, add: &found };
                let mut one = x.clone();
                array.combine(&workers, (&mut one, &x), &with);
                let combined = |at: usize| found[channel(at)] * x[at] + scaled(at);
                assert!((0..len).all(|at| (one[at] - combined(at)).abs() <= 1e-5 * one[at].abs()));
            }
        }
    }
}
