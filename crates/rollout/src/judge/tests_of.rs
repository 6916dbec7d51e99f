//! The tests of a stage.

use super::{Finding, Subject};
use crate::evidence::{Counts, ln_mean_exp, mean_above, two_sample};
use crate::histogram::{BUCKETS, BUCKETS_PER_OCTAVE, bound};
use crate::plan::{MetricLimit, Step, Thresholds};
use crate::{Active, Drift, LatencyHistogram, Observations, Plan};

/// Every test and limit of a stage, on what was observed.
pub(super) fn all(
    plan: &Plan,
    active: Active,
    step: &Step,
    observed: &Observations,
) -> Vec<Finding> {
    let thresholds = plan.thresholds();
    let tests = match active {
        Active::Step(_) => 2,
        Active::Shadow => {
            let drift = [thresholds.mean_relative_error, thresholds.class_changes];
            1 + drift.iter().flatten().count()
        }
    };
    let alpha = thresholds.false_rollback / (plan.judged_stages() * tests) as f64;
    let needed = -alpha.ln();
    let share = step.share.fraction().min(0.9999);
    let mut findings = vec![errors(thresholds, share, needed, observed)];
    match active {
        Active::Step(_) => findings.push(latency(thresholds, share, needed, observed)),
        Active::Shadow => findings.extend(drift(thresholds, needed, &observed.drift)),
    }
    findings.extend(thresholds.metrics.iter().map(|limit| metric(limit, observed)));
    findings
}

fn errors(thresholds: &Thresholds, share: f64, needed: f64, observed: &Observations) -> Finding {
    let (stable, candidate) = (&observed.stable, &observed.candidate);
    let counts = |requests, bad| Counts { requests, bad };
    let evidence = two_sample(
        counts(stable.requests, stable.errors),
        counts(candidate.requests, candidate.errors),
        share,
    );
    let rise = candidate.error_rate() - stable.error_rate();
    Finding {
        subject: Subject::ErrorRate,
        stable: Some(stable.error_rate()),
        candidate: Some(candidate.error_rate()),
        quantiles_ms: None,
        evidence: Some(evidence),
        limit: Some(needed),
        failed: evidence >= needed && rise >= thresholds.error_margin,
    }
}

/// Every how many bounds of the histogram one is tested: the others would add little but noise.
const STRIDE: usize = 2;

fn latency(thresholds: &Thresholds, share: f64, needed: f64, observed: &Observations) -> Finding {
    let (stable, candidate) = (&observed.stable.latency, &observed.candidate.latency);
    let shift = (thresholds.latency_ratio.log2() * BUCKETS_PER_OCTAVE as f64).round() as usize;
    let (all, candidate_all) = (stable.total(), candidate.total());
    let (slower, candidate_slower) = (stable.slower_than_bounds(), candidate.slower_than_bounds());
    let bounds: Vec<usize> = (0..BUCKETS - 1 - shift).step_by(STRIDE).collect();
    let mut before = None;
    let evidence: Vec<f64> = bounds
        .iter()
        .map(|&bound| {
            let counts = (slower[bound], candidate_slower[bound + shift]);
            // Bounds below or above all latencies have the same counts, and so the same evidence.
            let known = before.filter(|(same, _)| *same == counts).map(|(_, evidence)| evidence);
            let evidence = known.unwrap_or_else(|| {
                let stable = Counts { requests: all, bad: counts.0 };
                two_sample(stable, Counts { requests: candidate_all, bad: counts.1 }, share)
            });
            before = Some((counts, evidence));
            evidence
        })
        .collect();
    let highest = (0..bounds.len()).max_by(|&a, &b| evidence[a].total_cmp(&evidence[b]));
    let at = highest.map_or(0, |index| bounds[index]);
    let total = ln_mean_exp(&evidence);
    Finding {
        subject: Subject::SlowerThanMs(bound(at).as_millis() as u64),
        stable: Some(slower[at] as f64 / all.max(1) as f64),
        candidate: Some(candidate_slower[at + shift] as f64 / candidate_all.max(1) as f64),
        quantiles_ms: quantiles(stable).zip(quantiles(candidate)).map(|(one, two)| [one, two]),
        evidence: Some(total),
        limit: Some(needed),
        failed: total >= needed,
    }
}

fn quantiles(latency: &LatencyHistogram) -> Option<[f64; 2]> {
    let ms = |quantile| Some(latency.quantile(quantile)?.as_secs_f64() * 1_000.0);
    Some([ms(0.5)?, ms(0.99)?])
}

fn drift(thresholds: &Thresholds, needed: f64, drift: &Drift) -> Vec<Finding> {
    let finding = |subject, candidate, evidence: Option<f64>, limit, failed| Finding {
        subject,
        stable: None,
        candidate: Some(candidate),
        quantiles_ms: None,
        evidence,
        limit: Some(limit),
        failed,
    };
    let mut findings = Vec::new();
    if let Some(limit) = thresholds.mean_relative_error {
        let evidence = mean_above(drift.answers, drift.sum_relative_error, limit);
        let mean = drift.mean_relative_error();
        let failed = evidence >= needed;
        findings.push(finding(Subject::MeanRelativeError, mean, Some(evidence), needed, failed));
    }
    if let Some(limit) = thresholds.class_changes {
        let evidence = mean_above(drift.answers, drift.class_changes as f64, limit);
        let rate = drift.class_change_rate();
        let failed = evidence >= needed;
        findings.push(finding(Subject::ClassChanges, rate, Some(evidence), needed, failed));
    }
    if let Some(limit) = thresholds.max_relative_error {
        let max = drift.max_relative_error;
        findings.push(finding(Subject::MaxRelativeError, max, None, limit, max > limit));
    }
    findings
}

fn metric(limit: &MetricLimit, observed: &Observations) -> Finding {
    let value = observed.metric(&limit.name);
    let one_end = limit.at_most.xor(limit.at_least);
    Finding {
        subject: Subject::Metric(limit.name.clone()),
        stable: None,
        candidate: value,
        quantiles_ms: None,
        evidence: None,
        limit: one_end,
        failed: value.is_some_and(|value| !limit.allows(value)),
    }
}
