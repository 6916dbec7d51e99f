//! How often the judge is wrong, over 10,000 rollouts a scenario.
//!
//! `cargo run --release -p modelyard-rollout --example simulate [RUNS] [LOOK_EVERY] [PLAN] [CANDIDATE]`
//!
//! `CANDIDATE` is a part of the name of the only scenarios to play.

#[path = "../tests/traffic/mod.rs"]
mod traffic;

use std::thread;

use modelyard_rollout::{Active, Plan};
use traffic::{Behaviour, Options, Outcome, play, scenarios};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |n| n.parse().expect("a number"));
    let (runs, look_every) = (number(10_000), number(20));
    let plan: Plan =
        arguments.next().map_or_else(Plan::default, |text| text.parse().expect("a plan"));
    let only = arguments.next().unwrap_or_default();
    println!(
        "plan {plan}, {runs} rollouts each, a look every {look_every} requests of the candidate\n"
    );
    println!(
        "| candidate | minimums | promoted | rolled back | by 10 % | from each step | requests of the candidate until rolled back, median / p95 |\n|---|---|---|---|---|---|---|"
    );
    for (name, candidate) in scenarios().iter().filter(|(name, _)| name.contains(&only)) {
        let identical = *name == "identical";
        for patience in if identical { vec![1, 4] } else { vec![1] } {
            let options = |seed| Options { seed, look_every, patience };
            let outcomes = play_all(&plan, candidate, runs, &options);
            println!("| {name} | {patience}x | {} |", row(&plan, &outcomes));
        }
    }
}

fn play_all(
    plan: &Plan,
    candidate: &Behaviour,
    runs: u64,
    options: &(impl Fn(u64) -> Options + Sync),
) -> Vec<Outcome> {
    let stable = Behaviour::stable();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let part = |thread: u64| {
        let stable = &stable;
        move || -> Vec<Outcome> {
            let seeds = (thread..runs).step_by(threads as usize);
            seeds.map(|seed| play(plan, stable, candidate, options(seed))).collect()
        }
    };
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(part(thread))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("no run panics")).collect()
    })
}

fn row(plan: &Plan, outcomes: &[Outcome]) -> String {
    let percent = |count: usize| format!("{:.2} %", 100.0 * count as f64 / outcomes.len() as f64);
    let from =
        |stage: Active| outcomes.iter().filter(|o| o.rolled_back_from == Some(stage)).count();
    let mut stages = std::iter::successors(Some(plan.first()), |&stage| plan.after(stage));
    let early: usize = stages
        .by_ref()
        .take_while(|&stage| plan.step(stage).is_some_and(|s| s.share.get() <= 1_000))
        .map(from)
        .sum();
    let each: Vec<String> = std::iter::successors(Some(plan.first()), |&stage| plan.after(stage))
        .map(|stage| from(stage).to_string())
        .collect();
    let mut needed: Vec<u64> = outcomes
        .iter()
        .filter(|outcome| outcome.rolled_back_from.is_some())
        .map(|outcome| outcome.candidate_requests)
        .collect();
    needed.sort_unstable();
    let quantile = |share: f64| {
        let index = (needed.len() as f64 * share) as usize;
        needed.get(index).map_or("-".to_owned(), u64::to_string)
    };
    format!(
        "{} | {} | {} | {} | {} / {}",
        percent(outcomes.len() - needed.len()),
        percent(needed.len()),
        percent(early),
        each.join(", "),
        quantile(0.5),
        quantile(0.95)
    )
}
