//! Ranges from histograms. None goes beyond what was seen.

use super::{Histogram, Range, histogram};
use crate::Grid;

/// Ranges that entropy and least squares try, from this part of the whole to all of it.
const CANDIDATES: usize = 96;

/// Cuts the same part of the numbers off at both ends, so that `percent` of them remain.
pub(super) fn percentile(histogram: &Histogram, seen: Range, percent: f32) -> Range {
    let total = histogram.total() as f64;
    let cut = (total * (100.0 - f64::from(percent)) / 200.0).max(0.0);
    let half = histogram.width() / 2.0;
    let bins: Vec<(f32, u64)> = histogram.bins().collect();
    let low = edge(bins.iter(), cut) - half;
    let high = edge(bins.iter().rev(), cut) + half;
    Range { low: low.max(seen.low), high: high.min(seen.high) }
}

/// The first number by which more than `cut` numbers were passed.
fn edge<'a>(mut bins: impl Iterator<Item = &'a (f32, u64)>, cut: f64) -> f32 {
    let mut passed = 0.0;
    let found = bins.find(|(_, count)| {
        passed += *count as f64;
        passed > cut
    });
    found.map_or(0.0, |(middle, _)| *middle)
}

/// Part of the range that candidate number `index` keeps.
fn part(index: usize) -> f32 {
    (index + 1) as f32 / CANDIDATES as f32
}

/// The numbers that stay when everything beyond a part of the largest magnitude is clamped.
fn clamped(seen: Range, part: f32) -> Range {
    let reach = seen.high.max(-seen.low) * part;
    Range { low: seen.low.max(-reach), high: seen.high.min(reach) }
}

/// The range whose quantized distribution has the least divergence from the true one.
pub(super) fn entropy(histogram: &Histogram, seen: Range, grid: Grid) -> Range {
    let candidates = (0..CANDIDATES).map(|index| clamped(seen, part(index)));
    let judged = candidates.filter_map(|range| Some((divergence(histogram, range, grid)?, range)));
    let best = judged.min_by(|one, two| one.0.total_cmp(&two.0));
    best.map_or(seen, |(_, range)| range)
}

/// Kullback-Leibler divergence of the distribution that is left of `histogram` on the integers for
/// `range` from the true one, whose numbers beyond are at its ends. `None` where the range has fewer
/// bins than there are integers: it says nothing then.
fn divergence(histogram: &Histogram, range: Range, grid: Grid) -> Option<f64> {
    let width = histogram.width();
    let middle = histogram::BINS as f32 / 2.0;
    let bin_of = |x: f32| ((x / width + middle) as usize).min(histogram::BINS - 1);
    let counts = histogram.counts();
    let (first, last) = (bin_of(range.low), bin_of(range.high));
    let levels = (grid.max() - grid.min() + 1) as usize;
    let inside = &counts[first..=last];
    if inside.len() < levels {
        return None;
    }
    let mut truth: Vec<f64> = inside.iter().map(|&count| count as f64).collect();
    let outside = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let ends = truth.len() - 1;
    truth[0] += outside(&counts[..first]);
    truth[ends] += outside(&counts[last + 1..]);
    // All bins that one integer stands for have the same count afterwards, but for empty ones.
    let mut sum = 0.0;
    let total: f64 = truth.iter().sum();
    let total_inside: f64 = inside.iter().map(|&count| count as f64).sum();
    for level in 0..levels {
        let start = level * inside.len() / levels;
        let end = (level + 1) * inside.len() / levels;
        let filled = inside[start..end].iter().filter(|count| **count > 0).count();
        let mass: f64 = inside[start..end].iter().map(|&count| count as f64).sum();
        for (bin, &p) in truth[start..end].iter().enumerate() {
            if p == 0.0 {
                continue;
            }
            // What only came in from outside has nothing that stands for it.
            let q = if inside[start + bin] > 0 { mass / filled as f64 } else { 0.0 };
            let (p, q) = (p / total, q / total_inside);
            sum += if q > 0.0 { p * (p / q).ln() } else { p * (p / f64::MIN_POSITIVE).ln() };
        }
    }
    Some(sum)
}

/// The range with the least expected squared error: what is clamped is off by its distance from the
/// range, everything else by a twelfth of a squared step on average.
pub(super) fn least_squares(histogram: &Histogram, seen: Range, grid: Grid) -> Range {
    let steps = f64::from(grid.max() - grid.min());
    let error = |range: &Range| {
        let (low, high) = (f64::from(range.low.min(0.0)), f64::from(range.high.max(0.0)));
        let extent = if grid.symmetric { 2.0 * high.max(-low) } else { high - low };
        let rounding = (extent / steps).powi(2) / 12.0;
        let bins = histogram.bins().map(|(middle, count)| {
            let x = f64::from(middle);
            let beyond = (low - x).max(x - high).max(0.0);
            count as f64 * if beyond > 0.0 { beyond * beyond } else { rounding }
        });
        bins.sum::<f64>()
    };
    let candidates = (0..CANDIDATES).rev().map(|index| clamped(seen, part(index)));
    let best = candidates.min_by(|one, two| error(one).total_cmp(&error(two)));
    best.unwrap_or(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::{Calibration, Method};

    /// Numbers of a bell around zero with a few far away.
    fn numbers() -> Vec<f32> {
        // A sum of uniform numbers is nearly normal; a generator of its own keeps the test the same.
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut numbers: Vec<f32> =
            (0..200_000).map(|_| (0..12).map(|_| uniform()).sum()).collect();
        numbers.extend([50.0, -50.0]);
        numbers
    }

    fn range(method: Method, numbers: &[f32], grid: Grid) -> Range {
        let mut calibration = Calibration::new(method);
        calibration.observe(&[("x", numbers)]);
        calibration.ranges(grid).unwrap()["x"]
    }

    fn error(range: Range, numbers: &[f32], grid: Grid) -> f64 {
        let affine = grid.affine(range.low, range.high);
        let errors = numbers.iter().map(|&x| f64::from(affine.rounded(x) - x).powi(2));
        errors.sum::<f64>() / numbers.len() as f64
    }

    #[test]
    fn a_percentile_leaves_out_as_many_at_both_ends() {
        let numbers: Vec<f32> = (0..10_000).map(|number| number as f32 / 100.0).collect();
        let found = range(Method::Percentile(90.0), &numbers, Grid::U8);
        assert!((found.low - 5.0).abs() < 0.1 && (found.high - 95.0).abs() < 0.1, "{found:?}");
        let found = range(Method::Percentile(100.0), &numbers, Grid::U8);
        assert_eq!((found.low, found.high), (0.0, 99.99));
    }

    #[test]
    fn outliers_are_clamped_where_that_pays() {
        let numbers = numbers();
        for grid in [Grid::U8, Grid::S8] {
            let found = range(Method::Entropy, &numbers, grid);
            assert!((2.0..12.0).contains(&found.high), "{found:?}");
            // Clamped to t, the two outliers cost 2 (50 - t)² / 200,000 and rounding t² (2/255)² / 12:
            // least at 33.
            let found = range(Method::Mse, &numbers, grid);
            assert!((found.high - 33.0).abs() < 1.0, "{found:?}");
            let all = error(range(Method::MinMax, &numbers, grid), &numbers, grid);
            assert!(error(found, &numbers, grid) < 0.7 * all);
        }
    }

    #[test]
    fn nothing_is_clamped_that_needs_no_clamping() {
        let numbers: Vec<f32> = (0..10_000).map(|number| number as f32).collect();
        let found = range(Method::Mse, &numbers, Grid::U8);
        assert_eq!((found.low, found.high), (0.0, 9999.0));
        let found = range(Method::Mse, &[3.0; 10], Grid::U8);
        assert_eq!((found.low, found.high), (3.0, 3.0));
    }
}
