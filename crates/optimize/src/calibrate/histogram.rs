//! How often a tensor has which numbers, in bounded memory.

/// Bins of a histogram. Its two halves are the two signs.
pub(super) const BINS: usize = 4096;
const HALF: usize = BINS / 2;

/// The reach that a histogram starts with, where nothing is known yet: 2^-100, far below any activation.
const SMALLEST_REACH: f32 = f32::from_bits((127 - 100) << 23);

/// Counts of numbers in bins of one width, from `-reach` to `reach`.
///
/// The reach is a power of two and grows with what is seen: neighbouring bins then become one, which
/// loses nothing but detail. So a tensor is counted in one pass, and memory does not depend on how many
/// numbers there are (peers keep all activations: onnxruntime issue 21979 has 200 GB).
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    reach: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BINS], reach: SMALLEST_REACH }
    }
}

impl Histogram {
    /// Counts finite numbers, none larger than `largest` in magnitude; what is not finite is left out.
    pub(super) fn add(&mut self, numbers: &[f32], largest: f32) {
        self.widen(largest);
        let per_unit = HALF as f32 / self.reach;
        for &x in numbers {
            // Saturates: the largest number itself belongs to the last bin.
            let bin = (x * per_unit + HALF as f32) as usize;
            if x.is_finite() {
                self.counts[bin.min(BINS - 1)] += 1;
            }
        }
    }

    /// Makes room for numbers up to `largest`.
    fn widen(&mut self, largest: f32) {
        let mut factor = 1i64;
        while self.reach < largest && self.reach.is_finite() {
            self.reach *= 2.0;
            // With more than there are bins, all of them become the two in the middle.
            factor = (factor * 2).min(BINS as i64);
        }
        if factor > 1 {
            let mut counts = vec![0; BINS];
            for (bin, count) in self.counts.iter().enumerate() {
                let from_middle = (bin as i64 - HALF as i64).div_euclid(factor);
                counts[(from_middle + HALF as i64) as usize] += count;
            }
            self.counts = counts;
        }
    }

    /// The bins that something is in, from the smallest numbers to the largest: middle and count.
    pub fn bins(&self) -> impl Iterator<Item = (f32, u64)> {
        let width = self.width();
        let middle = move |bin: usize| (bin as f32 - HALF as f32 + 0.5) * width;
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(move |(bin, &count)| (middle(bin), count))
    }

    /// Extent of one bin.
    pub fn width(&self) -> f32 {
        self.reach / HALF as f32
    }

    /// All counts; the middle of the slice is zero.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many numbers were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_counted_when_larger_ones_come() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.25, -0.25, 0.75, f32::NAN], 0.75);
        histogram.add(&[1000.0, -3.0], 1000.0);
        let bins: Vec<(f32, u64)> = histogram.bins().collect();
        let width = histogram.width();
        assert_eq!(width, 0.5);
        assert_eq!(bins, [(-2.75, 1), (-0.25, 1), (0.25, 1), (0.75, 1), (1000.25, 1)]);
        assert_eq!(histogram.total(), 5);
    }

    #[test]
    fn the_largest_number_is_in_the_last_bin() {
        let mut histogram = Histogram::default();
        histogram.add(&[1.0, -1.0], 1.0);
        let middles: Vec<f32> = histogram.bins().map(|(middle, _)| middle).collect();
        assert_eq!(middles, [-1.0 + histogram.width() / 2.0, 1.0 - histogram.width() / 2.0]);
    }
}
