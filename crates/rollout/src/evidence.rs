//! Evidence that may be looked at after every request: e-processes from cumulative counts.
//!
//! An e-process is a nonnegative process whose expectation is at most 1 at any stopping time
//! while the null hypothesis holds. By Ville's inequality the chance that it *ever* reaches 1/α
//! is then at most α, however often somebody looks (Howard, Ramdas, McAuliffe, Sekhon 2021,
//! "Time-uniform, nonparametric, nonasymptotic confidence sequences"; Johari, Koomen, Pekelis,
//! Walsh 2022, "Always valid inference"; Ramdas, Grünwald, Vovk, Shafer 2023, "Game-theoretic
//! statistics and safe anytime-valid inference").
//!
//! Both tests here are mixture likelihood ratios over a composite null,
//!
//! ```text
//! E = ∫ likelihood(θ) dπ(θ)  /  sup { likelihood(θ) : θ in the null }
//! ```
//!
//! (Robbins 1970 for the mixture, Wasserman, Ramdas, Balakrishnan 2020, "Universal inference", for
//! the supremum): for the true θ of the null the mixture over likelihood(θ) is a martingale, and
//! the supremum only makes E smaller. The priors decide how fast E grows, never whether it may be
//! believed. With Beta priors E is a function of counts since the step began, so nothing is
//! carried from look to look and any replica can compute it.
//!
//! All results are natural logarithms of E.

/// Requests of one version, some of which are bad: failed, or slower than a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All requests.
    pub(crate) requests: u64,
    /// How many of them were bad; more than all count as all.
    pub(crate) bad: u64,
}

impl Counts {
    fn parts(self) -> (f64, f64) {
        let bad = self.bad.min(self.requests);
        (bad as f64, (self.requests - bad) as f64)
    }
}

/// Evidence that requests of the candidate are bad more often than those of the stable version.
///
/// The table is read across: it is the *assignment* of requests that is random, by design, and
/// the same at all times. If the candidate is no worse, a bad request is the candidate's with no
/// greater chance than a good one. So the null is `q_bad <= q_good`, whatever the two are, and
/// bad hours that hit both versions do no harm: no rate need be constant. (Turner, Ly, Grünwald
/// 2024, "Generic E-variables for exact sequential k-sample tests that allow for optional
/// stopping", condition on the assignment instead and need blocks of fixed size.)
pub(crate) struct TwoSample {
    good: [Prior; 3],
    bad: Prior,
}

/// How strongly good requests are believed to keep to the planned share: by as many requests.
const GOOD_STRENGTHS: [f64; 3] = [1e2, 1e4, 1e6];

impl TwoSample {
    /// A test where the candidate's planned share of requests is `share`, above 0 and below 1.
    ///
    /// The share only centres the priors: `q_good` near it with three strengths, in case keys are
    /// uneven, and `q_bad` spread over everything with that mean.
    pub(crate) fn new(share: f64) -> Self {
        let good = |strength| Prior::new(strength * share, strength * (1.0 - share));
        TwoSample { good: GOOD_STRENGTHS.map(good), bad: Prior::new(1.0, (1.0 - share) / share) }
    }

    /// The evidence; at most 0 while the candidate's rate is not the higher one.
    pub(crate) fn evidence(&self, stable: Counts, candidate: Counts) -> f64 {
        let ((stable_bad, stable_good), (bad, good)) = (stable.parts(), candidate.parts());
        let goods = self.good.each_ref().map(|prior| prior.marginal(good, stable_good));
        let numerator = self.bad.marginal(bad, stable_bad) + ln_mean_exp(&goods);
        let denominator = if is_worse(stable, candidate) {
            ln_likelihood(bad + good, stable_bad + stable_good)
        } else {
            ln_likelihood(bad, stable_bad) + ln_likelihood(good, stable_good)
        };
        numerator - denominator
    }

    /// The evidence of several tables averaged, which is evidence again: against a candidate that
    /// is no worse in any of them. A table in which it does not look worse, and whose e-value so
    /// is at most 1, is counted as 0: that only lowers the mean and saves most of the work.
    pub(crate) fn average(&self, tables: impl Iterator<Item = (Counts, Counts)>) -> Average {
        let (mut count, mut last, mut found) = (0, None, Vec::new());
        let mut clearest = (f64::NEG_INFINITY, 0);
        for (index, table) in tables.enumerate() {
            count += 1;
            if !is_worse(table.0, table.1) {
                continue;
            }
            // Neighbours often have the same counts.
            let known = last.filter(|(same, _)| *same == table).map(|(_, evidence)| evidence);
            let evidence = known.unwrap_or_else(|| self.evidence(table.0, table.1));
            last = Some((table, evidence));
            found.push(evidence);
            if evidence > clearest.0 {
                clearest = (evidence, index);
            }
        }
        let spread = (count as f64).ln() - (found.len() as f64).ln();
        let evidence = if found.is_empty() { LOWEST } else { ln_mean_exp(&found) - spread };
        Average { evidence: evidence.max(LOWEST), clearest: clearest.1 }
    }
}

/// Instead of minus infinity, which JSON has not.
const LOWEST: f64 = -30.0;

/// The evidence of several tables together.
pub(crate) struct Average {
    /// The logarithm of the mean of e-values.
    pub(crate) evidence: f64,
    /// The index of the table with most evidence.
    pub(crate) clearest: usize,
}

fn is_worse(stable: Counts, candidate: Counts) -> bool {
    let ((stable_bad, stable_good), (bad, good)) = (stable.parts(), candidate.parts());
    bad * stable_good > good * stable_bad
}

/// Evidence that the mean of values in `[0, 1]` is above `limit`, from their count and sum.
///
/// The likelihood is that of coin tosses with `sum` successes, which bounds every distribution on
/// `[0, 1]` (Hoeffding 1963: the exponential is convex; sub-Bernoulli in Howard et al. 2021). A
/// value's mean may change over time as long as it stays below the limit. Prior: Jeffreys's.
pub(crate) fn mean_above(count: u64, sum: f64, limit: f64) -> f64 {
    let count = count as f64;
    let sum = sum.clamp(0.0, count);
    if count == 0.0 {
        return 0.0;
    }
    let worst = (sum / count).min(limit.clamp(1e-12, 1.0 - 1e-12));
    let null = times_ln(sum, worst) + times_ln(count - sum, 1.0 - worst);
    Prior::new(0.5, 0.5).marginal(sum, count - sum) - null
}

/// The logarithm of the mean of exponentials: a mixture of e-processes is one.
fn ln_mean_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - highest).exp()).sum();
    highest + (sum / values.len() as f64).ln()
}

/// A Beta(a, b) distribution.
struct Prior {
    a: f64,
    b: f64,
    ln_beta: f64,
}

impl Prior {
    fn new(a: f64, b: f64) -> Self {
        Prior { a, b, ln_beta: ln_beta(a, b) }
    }

    /// The logarithm of the marginal likelihood of a sequence with `yes` and `no`.
    fn marginal(&self, yes: f64, no: f64) -> f64 {
        ln_beta(self.a + yes, self.b + no) - self.ln_beta
    }
}

/// The highest likelihood of a sequence with `yes` and `no`.
fn ln_likelihood(yes: f64, no: f64) -> f64 {
    times_ln(yes, yes / (yes + no)) + times_ln(no, no / (yes + no))
}

fn times_ln(factor: f64, value: f64) -> f64 {
    if factor == 0.0 { 0.0 } else { factor * value.ln() }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln Γ(x) for x > 0 by Stirling's series (Abramowitz and Stegun 6.1.41), shifted up to where its
/// fifth term is below 1e-13.
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 1.0;
    while x < 10.0 {
        shift *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - shift.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_agrees_with_factorials_and_the_half() {
        let mut factorial = 0.0;
        for n in 1..170u32 {
            assert!((ln_gamma(f64::from(n)) - factorial).abs() < 1e-11 * (1.0 + factorial), "{n}");
            factorial += f64::from(n).ln();
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-13);
    }

    /// The definition of an e-process, checked exactly: over all assignments of a fixed sequence of
    /// outcomes, the expectation of E is at most 1 at every length and at a stopping time.
    #[test]
    fn expectation_under_the_null_is_at_most_one_also_when_stopped() {
        let bad = [true, false, false, true, true, false, true, false, false, false, true, false];
        for share in [0.05, 0.3, 0.5] {
            let (mut fixed, mut stopped) = (0.0, 0.0);
            for assignment in 0u32..1 << bad.len() {
                let on_candidate = assignment.count_ones() as i32;
                let chance = f64::powi(share, on_candidate)
                    * f64::powi(1.0 - share, bad.len() as i32 - on_candidate);
                let path = path(&bad, assignment, share);
                fixed += chance * path[bad.len() - 1];
                let stop = path.iter().copied().find(|e| *e > 1.3).unwrap_or(path[bad.len() - 1]);
                stopped += chance * stop;
            }
            assert!(fixed <= 1.0 && stopped <= 1.0, "{share}: {fixed}, {stopped}");
            assert!(fixed > 0.05, "{share}: {fixed} would never find anything");
        }
    }

    fn path(bad: &[bool], assignment: u32, share: f64) -> Vec<f64> {
        let mut counts = [Counts { requests: 0, bad: 0 }; 2];
        let (test, mut path) = (TwoSample::new(share), Vec::new());
        for (index, &bad) in bad.iter().enumerate() {
            let version = &mut counts[(assignment >> index & 1) as usize];
            version.requests += 1;
            version.bad += u64::from(bad);
            path.push(test.evidence(counts[0], counts[1]).exp());
        }
        path
    }

    #[test]
    fn a_better_candidate_is_no_evidence() {
        let stable = Counts { requests: 99_000, bad: 3_000 };
        let candidate = Counts { requests: 1_000, bad: 0 };
        assert!(TwoSample::new(0.01).evidence(stable, candidate) <= 0.0);
    }

    #[test]
    fn evidence_grows_with_a_worse_candidate_though_shares_are_uneven() {
        let stable = Counts { requests: 18_000, bad: 180 };
        for requests in [1_500, 2_000, 2_500] {
            let candidate = Counts { requests, bad: requests * 3 / 100 };
            assert!(TwoSample::new(0.1).evidence(stable, candidate) > 8.0, "{requests}");
        }
    }

    #[test]
    fn odd_counts_give_numbers() {
        let odd = [(0, 0), (1, 1), (5, 9), (u64::MAX, 0), (u64::MAX, u64::MAX), (1, 0)];
        for (requests, bad) in odd {
            for (other, bad_other) in odd {
                let (one, two) =
                    (Counts { requests, bad }, Counts { requests: other, bad: bad_other });
                for share in [0.0001, 0.5, 0.9999] {
                    assert!(!TwoSample::new(share).evidence(one, two).is_nan(), "{one:?} {two:?}");
                }
            }
        }
        assert!(!mean_above(10, f64::INFINITY, 0.0).is_nan());
    }

    #[test]
    fn a_mean_above_its_limit_is_found_and_one_below_is_not() {
        assert!(mean_above(1_000, 30.0, 0.01) > 8.0);
        assert!(mean_above(1_000, 10.0, 0.01) <= 0.0);
        assert!(mean_above(1_000, 0.0, 0.01) <= 0.0);
    }
}
