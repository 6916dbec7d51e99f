//! Whether a candidate goes on, goes further, or goes back.
//!
//! The judge may be asked as often as one likes, after every request if need be: its tests stay
//! valid under peeking (see `evidence`). What is judged in a stage:
//!
//! * **errors** (every stage): the candidate fails more often than the stable version;
//! * **latency** (steps; shadow traffic is shed first, so its latencies say nothing): for some
//!   latency, a larger share of the candidate's requests is slower. The stable version's p99 is
//!   not known beforehand, and a bound estimated from the same requests would void the test; so
//!   every second bound of the histogram is tested and the evidence averaged, which is evidence
//!   again. That finds a shift of the p50, of the p99 or of anything between. A tolerated ratio
//!   `r` is part of the null: requests of the candidate slower than `r·t` are set against those
//!   of the stable version slower than `t`;
//! * **drift** (shadow): mean relative error, share of other top classes, largest error;
//! * **metrics** by name.
//!
//! The chance α of a false rollback is divided by the number of stages and a stage's by its
//! tests; a test finds the candidate worse when its e-value reaches 1 over its part (Ville's
//! inequality and a union bound, so the whole plan keeps α).
//!
//! What the tests take for granted: which version a request went to was drawn for itself, with
//! the same weight throughout the stage. With sticky keys it is keys that are drawn. Where one
//! key sends a large part of all requests, and fails more than others, the two versions differ by
//! who was drawn, and the judge will say so; split such traffic by draw.

mod decision;
mod sentence;
mod tests_of;

use std::time::Duration;

pub use decision::{Action, Decision, Finding, Subject};

use crate::plan::Step;
use crate::{Active, Observations, Plan, Stage, State, Timestamp};
use decision::Wait;

/// Decides on what was observed since the stage began. Never fails: what can't be judged goes on.
pub fn judge(plan: &Plan, state: &State, observed: &Observations, now: Timestamp) -> Decision {
    let elapsed = now.since(state.since);
    let stage = match (state.stage, state.stage.active().and_then(|active| plan.step(active))) {
        (Stage::Active(active), Some(step)) => (active, step),
        _ => return Decision::idle(state, elapsed, observed),
    };
    let (active, step) = stage;
    let findings = tests_of::all(plan, active, step, observed);
    let wait = Wait::of(active, step, elapsed, observed)
        .or_else(|| findings.iter().find(|finding| finding.missing()).map(Wait::metric));
    let action = if findings.iter().any(|finding| finding.failed) {
        Action::RollBack
    } else if wait.is_some() {
        Action::Continue
    } else if plan.after(active).is_some() {
        Action::Advance
    } else {
        Action::Promote
    };
    let next = plan.after(active).and_then(|next| plan.step(next)).copied();
    decide(Context { state, active, step, next, elapsed, observed, wait }, action, findings)
}

/// What a decision is made from, for its sentence.
struct Context<'a> {
    state: &'a State,
    active: Active,
    step: &'a Step,
    next: Option<Step>,
    elapsed: Duration,
    observed: &'a Observations,
    wait: Option<Wait>,
}

fn decide(context: Context<'_>, action: Action, findings: Vec<Finding>) -> Decision {
    let reason = sentence::of(&context, action, &findings);
    Decision {
        action,
        epoch: context.state.epoch,
        stage: context.state.stage,
        elapsed_ms: u64::try_from(context.elapsed.as_millis()).unwrap_or(u64::MAX),
        stable_requests: context.observed.stable.requests,
        candidate_requests: context.observed.candidate.requests,
        findings,
        reason,
    }
}
