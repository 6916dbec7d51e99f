//! What the judge decides, and how it says so.

use std::time::Duration;

use modelyard_rollout::{
    Action, Decision, Difference, Event, LatencyHistogram, Metric, MetricLimit, Observations, Plan,
    State, Subject, Thresholds, Timestamp, VersionFigures, judge,
};

const HOUR: Timestamp = Timestamp(3_600_000);

fn figures(requests: u64, errors: u64, ms: u64) -> VersionFigures {
    let mut latency = LatencyHistogram::new();
    for index in 0..requests {
        // One in fifty takes four times as long.
        let factor = if index % 50 == 0 { 4 } else { 1 };
        latency.record(Duration::from_millis(ms * factor));
    }
    VersionFigures { requests, errors, latency }
}

fn observed(stable: VersionFigures, candidate: VersionFigures) -> Observations {
    Observations { stable, candidate, ..Observations::default() }
}

fn plan(text: &str, change: impl FnOnce(&mut Thresholds)) -> Plan {
    let plan: Plan = text.parse().expect("a plan");
    let mut thresholds = plan.thresholds().clone();
    change(&mut thresholds);
    plan.with_thresholds(thresholds).expect("thresholds in their ranges")
}

fn decide(plan: &Plan, observed: &Observations) -> Decision {
    judge(plan, &State::begin(plan, Timestamp(0)), observed, HOUR)
}

#[test]
fn an_equal_candidate_advances_when_both_minimums_are_reached() {
    let plan = plan("10%:1000:1h,100%", |_| ());
    let equal = observed(figures(9_000, 90, 8), figures(1_000, 10, 8));
    let decision = decide(&plan, &equal);
    assert_eq!(decision.action, Action::Promote);
    assert_eq!(
        decision.reason,
        "promoted from 10% to 100% after 1000 requests: error rate 1.00 % against 1.00 %, p99 31 ms against 31 ms"
    );
    let state = State::begin(&plan, Timestamp(0));
    let early = judge(&plan, &state, &equal, Timestamp(HOUR.0 - 1));
    assert_eq!(early.action, Action::Continue);
    assert!(early.reason.starts_with("stays at 10%: 59m59s of 1h; error rate"), "{}", early.reason);
    let few = decide(&plan, &observed(figures(9_000, 90, 8), figures(999, 10, 8)));
    assert!(few.reason.starts_with("stays at 10%: 999 of 1000 requests of the candidate;"));
}

#[test]
fn more_errors_roll_back_before_any_minimum() {
    let plan = plan("10%:5000:10h,50%,100%", |_| ());
    let decision = decide(&plan, &observed(figures(9_000, 90, 8), figures(1_000, 50, 8)));
    assert_eq!(decision.action, Action::RollBack);
    assert!(
        decision.reason.starts_with(
            "rolled back from 10% after 1000 requests: error rate 5.00 % against 1.00 % (e-value 1e"
        ),
        "{}",
        decision.reason
    );
    assert!(
        decision.reason.ends_with(", 80.0 needed)"),
        "0.05 by 2 stages of 2 tests: {}",
        decision.reason
    );
}

#[test]
fn slower_answers_roll_back_and_say_where() {
    let plan = plan("10%,100%", |_| ());
    let decision = decide(&plan, &observed(figures(9_000, 90, 8), figures(1_000, 10, 12)));
    assert_eq!(decision.action, Action::RollBack);
    let reason = &decision.reason;
    // 8, 12, 32 and 48 ms, as precisely as the histogram has them.
    assert!(
        reason.contains(
            "p50 12 ms against 7.85 ms, p99 48 ms against 31 ms, \
             100.00 % of its requests take over"
        ),
        "{reason}"
    );
    assert!(matches!(
        decision.findings[1].subject,
        Subject::SlowerThan { stable_us: 8_000..12_000, candidate_us: 8_700..12_000 }
    ));
}

#[test]
fn a_tolerated_rise_is_borne_with_any_number_of_requests() {
    let plan = plan("10%,100%", |thresholds| {
        thresholds.latency_ratio = 1.6;
        thresholds.error_margin = 0.03;
    });
    let rise = observed(figures(90_000, 900, 8), figures(10_000, 300, 12));
    let decision = decide(&plan, &rise);
    assert_eq!(decision.action, Action::Promote, "{}", decision.reason);
    assert!(
        decision.findings[0].evidence.unwrap() > 50.0,
        "there is evidence, but below the margin"
    );
}

#[test]
fn nothing_observed_is_no_reason_to_go_back() {
    let plan = plan("10%,100%", |_| ());
    assert_eq!(decide(&plan, &Observations::default()).action, Action::Promote);
    let decision = decide(&Plan::default(), &Observations::default());
    assert_eq!(decision.action, Action::Continue);
    assert!(decision.reason.contains("p99 none against none"), "{}", decision.reason);
}

#[test]
fn a_metric_beyond_its_limit_rolls_back_and_an_unseen_one_waits() {
    let limit = MetricLimit { name: "auc".into(), at_most: None, at_least: Some(0.9) };
    let plan = plan("10%,100%", |thresholds| thresholds.metrics.push(limit));
    let with = |value| Observations {
        metrics: vec![Metric { name: "auc".into(), value }],
        ..Observations::default()
    };
    let low = decide(&plan, &with(0.89));
    assert_eq!(low.action, Action::RollBack);
    assert_eq!(low.reason, "rolled back from 10% after 0 requests: metric 'auc' 0.89, limit 0.9");
    assert_eq!(decide(&plan, &with(0.9)).action, Action::Promote);
    for unseen in [Observations::default(), with(f64::NAN)] {
        let waits = decide(&plan, &unseen);
        assert_eq!(waits.action, Action::Continue);
        assert!(waits.reason.starts_with("stays at 10%: no value yet of metric 'auc'"));
    }
}

#[test]
fn shadowed_answers_that_drift_roll_back() {
    let plan = plan("shadow=10%:500,100%", |thresholds| {
        thresholds.mean_relative_error = Some(0.01);
        thresholds.class_changes = Some(0.01);
    });
    let drifting = |relative_error, class_changes_every: u64| {
        let mut observed = Observations::default();
        for index in 0..500 {
            let same_top_class = index % class_changes_every != 0;
            let difference = Difference { relative_error, same_top_class, ..Difference::NONE };
            observed.drift.record(&difference);
        }
        observed
    };
    let good = decide(&plan, &drifting(0.005, 200));
    assert_eq!(good.action, Action::Promote, "{}", good.reason);
    let far = decide(&plan, &drifting(0.06, 200));
    assert_eq!(far.action, Action::RollBack);
    assert!(
        far.reason.contains("mean relative error of answers 6.000e-2 (e-value"),
        "{}",
        far.reason
    );
    let other = decide(&plan, &drifting(0.005, 10));
    assert!(other.reason.contains("another top class in 10.00 % of answers"), "{}", other.reason);
}

#[test]
fn one_answer_beyond_the_hard_limit_is_enough() {
    let plan = plan("shadow=10%:500,100%", |t| t.max_relative_error = Some(0.5));
    let mut observed = Observations::default();
    observed.drift.record(&Difference::INCOMPARABLE);
    assert_eq!(decide(&plan, &observed).action, Action::RollBack);
}

#[test]
fn a_paused_rollout_is_watched_by_nobody() {
    let plan = Plan::default();
    let state = State::begin(&plan, Timestamp(0));
    let paused = state.apply(&plan, &Event::Pause, HOUR).unwrap();
    let worse = observed(figures(99_000, 0, 8), figures(1_000, 500, 8));
    let decision = judge(&plan, &paused, &worse, HOUR);
    assert_eq!(decision.action, Action::Continue);
    assert_eq!(decision.reason, "the rollout is paused in step 1; nothing is judged");
}

#[test]
fn a_decision_reads_back_from_the_audit_log_as_it_was() {
    let limit = MetricLimit { name: "auc".into(), at_most: None, at_least: Some(0.9) };
    let plan = plan("10%,100%", |thresholds| thresholds.metrics.push(limit));
    for figures in [figures(1_000, 50, 8), VersionFigures::default()] {
        let decision = decide(&plan, &observed(figures.clone(), figures));
        let json = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision, "{json}");
    }
}

#[test]
fn replicas_figures_added_up_decide_like_one() {
    let plan = plan("10%:1000,100%", |_| ());
    let half = observed(figures(4_500, 45, 8), figures(500, 5, 8));
    let mut both = half.clone();
    both.merge(&half);
    assert_eq!(decide(&plan, &half).action, Action::Continue);
    assert_eq!(decide(&plan, &both).action, Action::Promote);
    assert_eq!(both.candidate.since(&half.candidate), half.candidate);
}
