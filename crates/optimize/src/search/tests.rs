//! The order of things, on figures that are made up.

use super::*;
use crate::statistics::Difference;

fn exact(estimate: f64) -> Difference {
    Difference { estimate, low: estimate, high: estimate, p_value: None }
}

fn figures(drop: f64, time: f64) -> Figures {
    Figures {
        drop: exact(drop),
        latency: exact(time),
        throughput: exact(time),
        latency_us: time,
        example_us: time,
        bytes: 1,
        memory_bytes: 1,
    }
}

/// All that is tried where `drop` says what a recipe costs.
fn run(situation: &Situation, drop: impl Fn(&Recipe) -> f64) -> Vec<Trial> {
    let wanted = (Goal::Latency, Budget { drop: 0.01 });
    let mut situation = situation.clone();
    let mut trials = Vec::new();
    while let Some(found) = next(&trials, &situation, wanted) {
        match found {
            Move::Try(recipe) => {
                let outcome = Ok(figures(drop(&recipe), time(&recipe)));
                trials.push(Trial { recipe, outcome });
            }
            Move::Rank => {
                situation.sensitive =
                    Some((0..20).map(|number| format!("layer{number}")).collect());
            }
        }
        assert!(trials.len() < 100, "the search does not end");
    }
    trials
}

/// Integers halve the time, and so does half of the channels.
fn time(recipe: &Recipe) -> f64 {
    let channels = 1.0 - f64::from(recipe.pruned().unwrap_or(0)) / 100.0;
    if recipe.static_step().is_some() { 0.5 * channels } else { channels }
}

fn names(trials: &[Trial]) -> Vec<String> {
    trials.iter().map(|trial| trial.recipe.to_string()).collect()
}

fn situation() -> Situation {
    Situation { has_examples: true, has_convolutions: true, ..Situation::default() }
}

#[test]
fn what_is_good_enough_is_not_repaired() {
    let trials = run(&situation(), |_| 0.0);
    assert_eq!(names(&trials), ["passes", "passes + int8 static (min-max)"]);
}

#[test]
fn as_few_layers_as_needed_stay_floats() {
    let floats = |recipe: &Recipe| recipe.static_step().map_or(20, |step| step.floats.len());
    let trials = run(&situation(), |recipe| if floats(recipe) >= 5 { 0.0 } else { 0.1 });
    let tried: Vec<usize> = trials.iter().map(|trial| floats(&trial.recipe)).collect();
    let mixed: Vec<usize> = tried.into_iter().filter(|count| *count > 0 && *count < 20).collect();
    assert_eq!(mixed, [1, 2, 4, 8, 6, 5]);
}

#[test]
fn channels_go_until_it_costs_too_much() {
    let situation = Situation { can_train: true, ..situation() };
    let cost = |recipe: &Recipe| f64::from(recipe.pruned().unwrap_or(0)) / 4000.0;
    let trials = run(&situation, cost);
    let pruned: Vec<u32> = trials.iter().filter_map(|trial| trial.recipe.pruned()).collect();
    // 25 % keeps the budget and gets integers too, 50 % does not.
    assert_eq!(pruned, [25, 25, 50]);
}

#[test]
fn what_costs_more_comes_later() {
    let situation = Situation { can_train: true, ..situation() };
    let is_trained = |recipe: &Recipe| {
        recipe.static_step().is_some_and(|step| step.rounding == Rounding::Trained)
    };
    let trials = run(&situation, |recipe| if is_trained(recipe) { 0.0 } else { 0.1 });
    let mut order = names(&trials);
    order.retain(|name| name.contains("int8"));
    let place = |text: &str| order.iter().position(|name| name.contains(text));
    assert!(place("percentile") < place("biases corrected"), "{order:?}");
    assert!(place("biases corrected") < place("rounding learned"), "{order:?}");
    assert!(place("rounding learned") < place("1 node of floats"), "{order:?}");
    assert!(place("floats") < place(", trained"), "{order:?}");
    assert_eq!(place(", trained"), Some(order.len() - 1), "{order:?}");
    // There are no layers between which ranges could be moved.
    assert_eq!(place("equalized"), None);
    let trials = run(&Situation { has_pairs: true, ..situation }, |_| 0.1);
    assert!(names(&trials).iter().any(|name| name.contains("equalized")));
}

#[test]
fn pruned_integers_that_lose_too_much_are_trained() {
    let situation = Situation { can_train: true, ..situation() };
    let cost = |recipe: &Recipe| match (recipe.pruned(), recipe.static_step()) {
        (Some(25), None) => 0.0,
        (Some(25), Some(step)) if step.rounding == Rounding::Trained => 0.0,
        (None, _) => 0.0,
        _ => 0.1,
    };
    let trials = names(&run(&situation, cost));
    let pruned: Vec<&String> = trials.iter().filter(|name| name.contains("-25 %")).collect();
    assert_eq!(pruned.len(), 3, "{trials:?}");
    assert!(pruned[2].ends_with("trained)"), "{trials:?}");
}

#[test]
fn the_best_floats_are_stored_in_half_of_the_bytes() {
    let cost = |recipe: &Recipe| if recipe.static_step().is_some() { 0.1 } else { 0.0 };
    let trials = run(&Situation { can_train: true, ..situation() }, cost);
    let last = names(&trials).pop();
    assert_eq!(last.as_deref(), Some("channels -75 %, recovered + passes + fp16 weights"));
}

#[test]
fn the_best_is_within_the_budget_and_beyond_noise() {
    let original = figures(0.0, 1.0);
    let noisy = Difference { estimate: 0.6, low: 0.3, high: 1.1, p_value: None };
    let trial = |drop: f64, time: f64, latency: Option<Difference>| Trial {
        recipe: Recipe::default(),
        outcome: Ok(Figures { latency: latency.unwrap_or(exact(time)), ..figures(drop, time) }),
    };
    let trials = [
        trial(0.0, 0.8, None),
        trial(0.0, 0.6, Some(noisy)),
        trial(0.02, 0.5, None),
        trial(0.03, 0.9, None),
    ];
    let budget = Budget { drop: 0.01 };
    assert_eq!(best(&trials, &original, Goal::Latency, budget), Some(0));
    assert_eq!(best(&trials[2..], &original, Goal::Latency, budget), None);
    assert_eq!(nearest(&trials[2..], &original, Goal::Latency), Some(0));
    assert_eq!(front(&trials, Goal::Latency), [1, 2]);
}

#[test]
fn of_those_as_fast_as_the_fastest_the_smallest_wins() {
    let original = figures(0.0, 1.0);
    let trial = |time: f64, bytes: u64| Trial {
        recipe: Recipe::default(),
        outcome: Ok(Figures { bytes, ..figures(0.0, time) }),
    };
    let trials = [trial(0.500, 400), trial(0.510, 200), trial(0.600, 100)];
    let budget = Budget { drop: 0.01 };
    assert_eq!(best(&trials, &original, Goal::Latency, budget), Some(1));
}

#[test]
fn what_the_original_shows_beside_itself_is_no_win() {
    let itself = Difference { estimate: 0.9, low: 0.8, high: 1.1, p_value: None };
    let original = Figures { latency: itself, ..figures(0.0, 1.0) };
    let trial = |time: f64| [Trial { recipe: Recipe::default(), outcome: Ok(figures(0.0, time)) }];
    let budget = Budget { drop: 0.01 };
    assert_eq!(best(&trial(0.85), &original, Goal::Latency, budget), None);
    assert_eq!(best(&trial(0.7), &original, Goal::Latency, budget), Some(0));
}
