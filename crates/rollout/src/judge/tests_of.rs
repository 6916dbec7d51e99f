//! The tests of a stage.

use super::{Finding, Subject};
use crate::evidence::{Average, Counts, TwoSample, mean_above};
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
    let test = TwoSample::new(step.share.fraction().min(0.9999));
    let mut findings = vec![errors(thresholds, &test, needed, observed)];
    match active {
        Active::Step(_) => findings.push(latency(thresholds, &test, needed, observed)),
        Active::Shadow => findings.extend(drift(thresholds, needed, &observed.drift)),
    }
    findings.extend(thresholds.metrics.iter().map(|limit| metric(limit, observed)));
    findings
}

fn errors(
    thresholds: &Thresholds,
    test: &TwoSample,
    needed: f64,
    observed: &Observations,
) -> Finding {
    let (stable, candidate) = (&observed.stable, &observed.candidate);
    let counts = |requests, bad| Counts { requests, bad };
    let evidence = test.evidence(
        counts(stable.requests, stable.errors),
        counts(candidate.requests, candidate.errors),
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

fn latency(
    thresholds: &Thresholds,
    test: &TwoSample,
    needed: f64,
    observed: &Observations,
) -> Finding {
    let (stable, candidate) = (&observed.stable.latency, &observed.candidate.latency);
    let shift = (thresholds.latency_ratio.log2() * BUCKETS_PER_OCTAVE as f64).round() as usize;
    let (all, candidate_all) = (stable.total(), candidate.total());
    let (slower, candidate_slower) = (stable.slower_than_bounds(), candidate.slower_than_bounds());
    let bounds = (0..BUCKETS - 1 - shift).step_by(STRIDE);
    let Average { evidence, clearest } = test.average(bounds.map(|bound| {
        let counts = |requests, bad| Counts { requests, bad };
        (counts(all, slower[bound]), counts(candidate_all, candidate_slower[bound + shift]))
    }));
    let at = clearest * STRIDE;
    let us = |at| bound(at).as_micros() as u64;
    Finding {
        subject: Subject::SlowerThan { stable_us: us(at), candidate_us: us(at + shift) },
        stable: Some(slower[at] as f64 / all.max(1) as f64),
        candidate: Some(candidate_slower[at + shift] as f64 / candidate_all.max(1) as f64),
        quantiles_ms: quantiles(stable).zip(quantiles(candidate)).map(|(one, two)| [one, two]),
        evidence: Some(evidence),
        limit: Some(needed),
        failed: evidence >= needed,
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
