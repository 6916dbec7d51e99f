//! How sure a difference between two models is, when both answered the same examples.

use fastrand::Rng;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// Two-sided 95 % of a normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A difference with the interval that it lies in with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// What was measured.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How probable a difference of this size, or a larger one, is where there is none.
    pub p_value: Option<f64>,
}

impl Difference {
    /// Whether zero is outside of the interval: the difference is more than noise.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// How much more often the second model is right than the first, from -1 to 1.
///
/// Only examples that the two answer differently count: the interval is Wald's with the adjustment of
/// Bonett and Price ("Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based
/// on Paired Data", 2012), the probability McNemar's exact test.
///
/// # Panics
/// When the slices differ in length: a fault of the caller.
pub fn paired_accuracy(first: &[bool], second: &[bool]) -> Difference {
    assert_eq!(first.len(), second.len(), "both models answered the same examples");
    let count = |won: bool| {
        let pairs = first.iter().zip(second);
        pairs.filter(|(one, two)| one != two && **two == won).count()
    };
    let (lost, won, all) = (count(false), count(true), first.len());
    let adjusted = |count: usize| (count as f64 + 1.0) / (all as f64 + 2.0);
    let (p, q) = (adjusted(won), adjusted(lost));
    let spread = Z * ((p + q - (p - q).powi(2)) / (all as f64 + 2.0)).sqrt();
    Difference {
        estimate: (won as f64 - lost as f64) / all.max(1) as f64,
        low: (p - q - spread).max(-1.0),
        high: (p - q + spread).min(1.0),
        p_value: Some(exact_mcnemar(won.min(lost), won + lost)),
    }
}

/// Probability of at most `fewer` or at least `all - fewer` heads in `all` throws of a coin.
fn exact_mcnemar(fewer: usize, all: usize) -> f64 {
    // Binomial coefficients in logarithms: there may be thousands of throws.
    let mut logarithm = -(all as f64) * std::f64::consts::LN_2;
    let mut sum = logarithm.exp();
    for heads in 1..=fewer {
        logarithm += ((all - heads + 1) as f64 / heads as f64).ln();
        sum += logarithm.exp();
    }
    (2.0 * sum).min(1.0)
}

/// The mean of differences that were measured example by example, with a percentile bootstrap (Efron,
/// 1979). The same numbers and seed give the same interval.
pub fn mean_difference(differences: &[f64], seed: u64) -> Difference {
    let mean = |sum: f64| sum / differences.len().max(1) as f64;
    let estimate = mean(differences.iter().sum());
    let statistic = |random: &mut Rng| {
        mean((0..differences.len()).map(|_| differences[random.usize(..differences.len())]).sum())
    };
    let (low, high) = percentiles(seed, statistic);
    Difference { estimate, low, high, p_value: None }
}

/// How many times as long the second of each pair of times took: the median of the ratios, with a
/// percentile bootstrap. Pairs are measured one right after the other, so that what slows the machine
/// down slows both.
pub fn ratio(pairs: &[(f64, f64)], seed: u64) -> Difference {
    let ratios: Vec<f64> = pairs.iter().map(|(first, second)| second / first).collect();
    let statistic = |random: &mut Rng| {
        let mut drawn: Vec<f64> =
            (0..ratios.len()).map(|_| ratios[random.usize(..ratios.len())]).collect();
        median(&mut drawn)
    };
    let (low, high) = percentiles(seed, statistic);
    Difference { estimate: median(&mut ratios.clone()), low, high, p_value: None }
}

/// The middle of some numbers; the lower one of two. NaN for none.
pub fn median(numbers: &mut [f64]) -> f64 {
    if numbers.is_empty() {
        return f64::NAN;
    }
    let middle = (numbers.len() - 1) / 2;
    *numbers.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn percentiles(seed: u64, mut statistic: impl FnMut(&mut Rng) -> f64) -> (f64, f64) {
    let mut random = Rng::with_seed(seed);
    let mut found: Vec<f64> = (0..RESAMPLES).map(|_| statistic(&mut random)).collect();
    found.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| found[((RESAMPLES - 1) as f64 * part).round() as usize];
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn mcnemar_by_the_binomial_distribution() {
        // scipy.stats.binomtest(2, 12, 0.5).pvalue and (5, 10), (0, 3), (40, 120).
        close(exact_mcnemar(2, 12), 0.038574218750);
        close(exact_mcnemar(5, 10), 1.0);
        close(exact_mcnemar(0, 3), 0.25);
        close(exact_mcnemar(40, 120), 0.000330400);
        close(exact_mcnemar(0, 0), 1.0);
    }

    #[test]
    fn the_interval_of_paired_proportions() {
        // 100 examples, 10 lost and 4 won: p = 5/102, q = 11/102.
        let first: Vec<bool> = (0..100).map(|number| number < 60).collect();
        let second: Vec<bool> = (0..100)
            .map(|number| (10..60).contains(&number) || (60..64).contains(&number))
            .collect();
        let found = paired_accuracy(&first, &second);
        close(found.estimate, -0.06);
        let (p, q) = (5.0 / 102.0, 11.0 / 102.0);
        let spread = 1.959964 * f64::sqrt((p + q - (p - q) * (p - q)) / 102.0);
        assert!((found.low - (p - q - spread)).abs() < 1e-6);
        assert!(!found.is_clear());
        let same = paired_accuracy(&first, &first);
        assert_eq!((same.estimate, same.p_value), (0.0, Some(1.0)));
        assert!(same.low < 0.0 && same.high > 0.0);
    }

    #[test]
    fn a_clear_ratio_is_told_from_noise() {
        let mut random = Rng::with_seed(1);
        let mut noise = || 1.0 + 0.2 * (random.f64() - 0.5);
        let faster: Vec<(f64, f64)> = (0..50).map(|_| (noise(), 0.5 * noise())).collect();
        let same: Vec<(f64, f64)> = (0..50).map(|_| (noise(), noise())).collect();
        let found = ratio(&faster, 0);
        assert!(found.high < 0.6 && found.low > 0.4, "{found:?}");
        let found = ratio(&same, 0);
        assert!(found.low < 1.0 && found.high > 1.0, "{found:?}");
        assert_eq!(ratio(&same, 0), found);
    }
}
