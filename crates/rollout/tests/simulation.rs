//! The judge's errors, over simulated traffic. `examples/simulate.rs` plays 10,000 rollouts.

mod traffic;

use modelyard_rollout::{Active, Plan};
use traffic::{Behaviour, Options, Outcome, play, scenarios};

const RUNS: u64 = 60;

fn play_runs(candidate: &Behaviour, patience: u64) -> Vec<Outcome> {
    let (plan, stable) = (Plan::default(), Behaviour::stable());
    let run = |seed| play(&plan, &stable, candidate, Options { seed, look_every: 100, patience });
    (0..RUNS).map(run).collect()
}

/// Of 60 runs, more than 9 have a chance below 1 in 1,000 where each has one of 5 %.
#[test]
fn identical_versions_are_rarely_rolled_back_over_a_whole_plan() {
    for patience in [1, 2] {
        let outcomes = play_runs(&Behaviour::stable(), patience);
        let wrong = outcomes.iter().filter(|outcome| outcome.rolled_back_from.is_some()).count();
        assert!(wrong <= 9, "{wrong} of {RUNS} rolled back");
    }
}

/// The same slack: at least 51 of 60 where each has a chance of 95 %.
#[test]
fn worse_candidates_are_caught_before_they_pass_ten_percent() {
    for (name, candidate) in scenarios().iter().skip(1) {
        let early = |outcome: &&Outcome| {
            matches!(outcome.rolled_back_from, Some(Active::Step(0) | Active::Step(1)))
        };
        let caught = play_runs(candidate, 1).iter().filter(early).count();
        assert!(caught >= 51, "{name}: {caught} of {RUNS} caught");
    }
}
