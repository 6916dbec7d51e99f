//! The state machine, under any order of events and any clock.

use modelyard_rollout::{
    Action, Active, ApplyError, BasisPoints, Decision, Event, Observations, Plan, Split, Stage,
    State, Timestamp, judge,
};
use proptest::prelude::*;

fn decision(action: Action, epoch: u64) -> Decision {
    let plan = Plan::default();
    let state = State { epoch, ..State::begin(&plan, Timestamp(0)) };
    Decision { action, ..judge(&plan, &state, &Observations::default(), Timestamp(0)) }
}

fn plans() -> impl Strategy<Value = Plan> {
    prop::sample::select(vec![
        "1%:500:10m,10%:2000:30m,50%:5000:1h,100%",
        "shadow=20%:1000:10m,5%,100%",
        "shadow=100%,100%",
        "50%,100%",
    ])
    .prop_map(|text| text.parse().expect("a plan"))
}

/// What happens: the kind, how old the epoch is that was decided in, and the clock then.
fn happenings() -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
    let clock = prop_oneof![0..100_000_000u64, Just(0), Just(u64::MAX)];
    prop::collection::vec((0u8..9, 0u64..3, clock), 0..40)
}

fn apply(plan: &Plan, state: &State, what: (u8, u64, u64)) -> Result<State, ApplyError> {
    let (kind, age, now) = what;
    let action = match kind {
        0..=2 => Action::Advance,
        3 => Action::Promote,
        4 => Action::RollBack,
        _ => Action::Continue,
    };
    let decision = decision(action, state.epoch.saturating_sub(age));
    let event = match kind {
        5 => Event::Pause,
        6 => Event::Resume,
        7 => Event::Abort,
        8 => Event::PromoteNow,
        _ => Event::Decided(&decision),
    };
    state.apply(plan, &event, Timestamp(now))
}

proptest! {
    #[test]
    fn each_transition_raises_the_epoch_by_one_and_ends_stay(plan in plans(), events in happenings()) {
        let mut state = State::begin(&plan, Timestamp(0));
        for what in events {
            let result = apply(&plan, &state, what);
            prop_assert!(!(state.stage.is_end() && result.is_ok()), "{:?} was left", state.stage);
            let Ok(next) = result else { continue };
            prop_assert_eq!(next.epoch, state.epoch + u64::from(next != state));
            state = next;
        }
    }

    /// Many replicas decide on the same state, or on older ones: one takes the step.
    #[test]
    fn compare_and_swap_takes_each_step_once(plan in plans(), replicas in prop::collection::vec(0u64..4, 1..30)) {
        let begun = State::begin(&plan, Timestamp(0));
        let mut stored = begun;
        let mut taken = 0;
        for behind in replicas {
            let epoch = stored.epoch.saturating_sub(behind);
            let decision = decision(Action::Advance, epoch);
            match stored.apply(&plan, &Event::Decided(&decision), Timestamp(1)) {
                Ok(next) => {
                    prop_assert_eq!(epoch, stored.epoch, "a stale decision moved the rollout");
                    taken += 1;
                    stored = next;
                }
                Err(ApplyError::Ended(_)) => prop_assert_eq!(stored.stage, Stage::Promoted),
                Err(error) => prop_assert!(matches!(error, ApplyError::Stale { .. }), "{}", error),
            }
        }
        prop_assert_eq!(stored.epoch, begun.epoch + taken);
    }

    #[test]
    fn weights_always_add_up(plan in plans(), events in happenings()) {
        let before = Split::new(&[(1, BasisPoints::new(3_333).unwrap()), (2, BasisPoints::new(6_667).unwrap())]).unwrap();
        let mut state = State::begin(&plan, Timestamp(0));
        for what in events {
            state = apply(&plan, &state, what).unwrap_or(state);
            let split = state.split(&plan, &before, 3).unwrap();
            prop_assert_eq!(split.shares().map(|(_, share)| u32::from(share.get())).sum::<u32>(), 10_000);
            let share = split.shares().find(|(version, _)| *version == 3).unwrap().1;
            match state.stage {
                Stage::Promoted => prop_assert_eq!(share, BasisPoints::ALL),
                Stage::RolledBack | Stage::Aborted => prop_assert_eq!(share, BasisPoints::NONE),
                _ => prop_assert!(share < BasisPoints::ALL),
            }
            let shadowing = state.shadow_share(&plan) > BasisPoints::NONE;
            prop_assert_eq!(shadowing, state.stage.active() == Some(Active::Shadow));
        }
    }

    /// A clock that jumps anywhere: no panic, and never more time than the clock can have shown.
    #[test]
    fn a_jumping_clock_counts_no_negative_time(since: u64, now: u64) {
        let plan = Plan::default();
        let state = State { since: Timestamp(since), ..State::begin(&plan, Timestamp(since)) };
        let decision = judge(&plan, &state, &Observations::default(), Timestamp(now));
        prop_assert_eq!(decision.elapsed_ms, now.saturating_sub(since));
    }
}

#[test]
fn a_plan_is_walked_from_shadow_to_promotion() {
    let plan: Plan = "shadow=20%,1%,50%,100%".parse().unwrap();
    let mut state = State::begin(&plan, Timestamp(5));
    let mut seen = vec![state.stage];
    while !state.stage.is_end() {
        let decision = decision(Action::Advance, state.epoch);
        state = state.apply(&plan, &Event::Decided(&decision), Timestamp(9)).unwrap();
        seen.push(state.stage);
    }
    let active = |stage| Stage::Active(stage);
    assert_eq!(
        seen,
        [active(Active::Shadow), active(Active::Step(0)), active(Active::Step(1)), Stage::Promoted]
    );
    assert_eq!((state.epoch, state.since), (4, Timestamp(9)));
}

#[test]
fn a_pause_keeps_weights_and_observations_and_a_wrong_clock_is_put_right() {
    let plan = Plan::default();
    let begun = State::begin(&plan, Timestamp(1_000));
    let paused = begun.apply(&plan, &Event::Pause, Timestamp(2_000)).unwrap();
    assert_eq!((paused.share(&plan), paused.since), (begun.share(&plan), begun.since));
    let resumed = paused.apply(&plan, &Event::Resume, Timestamp(3_000)).unwrap();
    assert_eq!((resumed.stage, resumed.since), (begun.stage, begun.since));
    let resumed = paused.apply(&plan, &Event::Resume, Timestamp(10)).unwrap();
    assert_eq!(resumed.since, Timestamp(10), "it began after what the clock says now");
}

#[test]
fn events_that_make_no_sense_say_why() {
    let plan = Plan::default();
    let begun = State::begin(&plan, Timestamp(0));
    let now = Timestamp(1);
    let error =
        |state: &State, event: &Event<'_>| state.apply(&plan, event, now).unwrap_err().to_string();
    assert_eq!(error(&begun, &Event::Resume), "the rollout is not paused but in step 1");
    let paused = begun.apply(&plan, &Event::Pause, now).unwrap();
    assert_eq!(error(&paused, &Event::Pause), "the rollout is paused in step 1; resume it first");
    let late = decision(Action::Advance, 1);
    assert_eq!(
        error(&paused, &Event::Decided(&late)),
        "the decision was made in epoch 1, but the rollout is in epoch 2 by now"
    );
    let aborted = paused.apply(&plan, &Event::Abort, now).unwrap();
    assert_eq!(
        error(&aborted, &Event::PromoteNow),
        "the rollout is aborted already; begin another one"
    );
    let elsewhere = State { stage: Stage::Active(Active::Step(9)), ..begun };
    assert_eq!(
        error(&elsewhere, &Event::Decided(&late)),
        "the plan has no stage like the rollout's, in step 10; was it changed?"
    );
}

#[test]
fn the_stored_form_is_pinned() {
    let state = State::begin(&Plan::default(), Timestamp(7));
    let json = r#"{"stage":{"active":{"step":0}},"epoch":1,"since":7,"changed":7}"#;
    assert_eq!(serde_json::to_string(&state).unwrap(), json);
    assert_eq!(serde_json::from_str::<State>(json).unwrap(), state);
    let ended = State { stage: Stage::RolledBack, ..state };
    assert!(serde_json::to_string(&ended).unwrap().starts_with(r#"{"stage":"rolled_back""#));
}
