//! A decision in one sentence.

use super::{Action, Context, Finding, Subject};
use crate::{Active, BasisPoints};

pub(super) fn of(context: &Context<'_>, action: Action, findings: &[Finding]) -> String {
    let place = place(context.active, context.step.share);
    let requests = context.observed.candidate.requests;
    match action {
        Action::RollBack => {
            let failed: Vec<String> =
                findings.iter().filter(|finding| finding.failed).map(finding_text).collect();
            format!("rolled back from {place} after {requests} requests: {}", failed.join("; "))
        }
        Action::Continue => match &context.wait {
            Some(wait) => format!("stays at {place}: {wait}; {}", summary(context)),
            None => format!("stays at {place}; {}", summary(context)),
        },
        Action::Advance | Action::Promote => {
            let next = context.next.map_or(BasisPoints::ALL, |step| step.share);
            let verb = if action == Action::Promote { "promoted" } else { "advances" };
            format!("{verb} from {place} to {next} after {requests} requests: {}", summary(context))
        }
    }
}

fn place(active: Active, share: BasisPoints) -> String {
    match active {
        Active::Shadow => format!("shadow of {share}"),
        Active::Step(_) => share.to_string(),
    }
}

fn finding_text(finding: &Finding) -> String {
    let candidate = finding.candidate.unwrap_or(f64::NAN);
    let stable = finding.stable.unwrap_or(f64::NAN);
    let text = match &finding.subject {
        Subject::ErrorRate => {
            format!("error rate {} against {}", percent(candidate), percent(stable))
        }
        Subject::SlowerThan { stable_us, candidate_us } => {
            let quantiles = finding.quantiles_ms.map_or_else(String::new, quantile_text);
            format!(
                "{quantiles}{} of its requests take over {} against {} over {}",
                percent(candidate),
                time(*candidate_us as f64 / 1_000.0),
                percent(stable),
                time(*stable_us as f64 / 1_000.0),
            )
        }
        Subject::MeanRelativeError => format!("mean relative error of answers {candidate:.3e}"),
        Subject::ClassChanges => format!("another top class in {} of answers", percent(candidate)),
        Subject::MaxRelativeError => format!("relative error of an answer {candidate:.3e}"),
        Subject::Metric(name) => format!("metric '{name}' {candidate}"),
    };
    match (finding.evidence, finding.limit) {
        (Some(evidence), Some(needed)) => {
            format!("{text} (e-value {}, {} needed)", e_value(evidence), e_value(needed))
        }
        (None, Some(limit)) => format!("{text}, limit {limit}"),
        _ => format!("{text}, beyond its limits"),
    }
}

fn quantile_text([[p50, p99], [candidate_p50, candidate_p99]]: [[f64; 2]; 2]) -> String {
    format!(
        "p50 {} against {}, p99 {} against {}, ",
        time(candidate_p50),
        time(p50),
        time(candidate_p99),
        time(p99)
    )
}

fn summary(context: &Context<'_>) -> String {
    let (stable, candidate) = (&context.observed.stable, &context.observed.candidate);
    let errors = format!(
        "error rate {} against {}",
        percent(candidate.error_rate()),
        percent(stable.error_rate())
    );
    if context.active == Active::Shadow {
        let drift = &context.observed.drift;
        return format!(
            "{errors}, mean relative error {:.3e} over {} answers",
            drift.mean_relative_error(),
            drift.answers
        );
    }
    let p99 = |latency: &crate::LatencyHistogram| {
        latency.quantile(0.99).map_or("none".to_owned(), |p99| time(p99.as_secs_f64() * 1_000.0))
    };
    format!("{errors}, p99 {} against {}", p99(&candidate.latency), p99(&stable.latency))
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

fn time(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

fn e_value(ln: f64) -> String {
    if ln < 13.0 {
        format!("{:.1}", ln.exp())
    } else {
        format!("1e{:.0}", ln / std::f64::consts::LN_10)
    }
}
