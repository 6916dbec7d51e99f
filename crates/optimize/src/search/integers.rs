//! Static integers: plain ones, and what is tried only where these miss the budget.

use super::history::History;
use super::strategy::{Move, base};
use super::{Calibrator, Recipe, Rounding, Static, Step};

/// Moves that integers are worth, in order, as far as is known.
pub(super) fn integers(history: &History<'_>) -> Vec<Move> {
    if !history.situation.has_examples {
        return Vec::new();
    }
    let plain = with(&base(), Static::default());
    let mut recipes = vec![plain.clone()];
    if history.misses(&plain) {
        recipes.extend(repaired(history));
        recipes.extend(learned(history, &recipes));
    }
    let is_over = recipes.iter().all(|recipe| history.is_tried(recipe));
    let is_missed = history.least_lost(&recipes).is_some_and(|best| history.misses(best));
    let mut moves: Vec<Move> = recipes.iter().cloned().map(Move::Try).collect();
    if is_over && is_missed {
        moves.push(Move::Rank);
        let (mixed, is_found) = mixed(history, &recipes);
        moves.extend(mixed.map(Move::Try));
        if history.situation.can_train && !is_found {
            let rounding = Rounding::Trained;
            let trained = with(&base(), Static { rounding, ..Static::default() });
            moves.push(Move::Try(trained));
        }
    }
    moves
}

fn with(recipe: &Recipe, step: Static) -> Recipe {
    recipe.then(Step::Static(step))
}

/// Other ranges, and models that bear integers better.
fn repaired(history: &History<'_>) -> Vec<Recipe> {
    let situation = history.situation;
    let calibrators = [Calibrator::Percentile, Calibrator::Mse, Calibrator::Entropy];
    let mut recipes: Vec<Recipe> = calibrators
        .map(|calibrator| with(&base(), Static { calibrator, ..Static::default() }))
        .into();
    for calibrator in [Calibrator::MinMax, Calibrator::Mse] {
        let step = Static {
            calibrator,
            smooth: !situation.has_convolutions,
            correct_bias: true,
            ..Static::default()
        };
        recipes.push(with(&base(), step.clone()));
        if situation.has_convolutions && situation.has_pairs {
            recipes.push(with(&base().then(Step::Equalize), step));
        }
    }
    recipes
}

/// The best of the others with rounding that is learned, once they were tried and none was good enough.
fn learned(history: &History<'_>, others: &[Recipe]) -> Option<Recipe> {
    if !others.iter().all(|recipe| history.is_tried(recipe)) {
        return None;
    }
    let best = history.least_lost(others).filter(|best| history.misses(best))?;
    Some(changed(best, |step| Static { rounding: Rounding::Learned, ..step.clone() }))
}

fn changed(recipe: &Recipe, change: impl Fn(&Static) -> Static) -> Recipe {
    let steps = recipe.0.iter().map(|step| match step {
        Step::Static(found) => Step::Static(change(found)),
        other => other.clone(),
    });
    Recipe(steps.collect())
}

/// The best integers so far, with more and more of the most sensitive nodes as floats: doubled until the
/// budget is kept, then halved between what kept it and what did not. Second: whether one keeps it.
fn mixed(history: &History<'_>, integers: &[Recipe]) -> (Option<Recipe>, bool) {
    let sensitive = history.situation.sensitive.as_deref().unwrap_or_default();
    let Some(best) = history.least_lost(integers) else { return (None, false) };
    let with = |count: usize| {
        changed(best, |step| Static { floats: sensitive[..count].to_vec(), ..step.clone() })
    };
    let most = sensitive.len();
    let (mut missed, mut kept) = (0, most);
    let mut count = 1;
    while count < most {
        let recipe = with(count);
        if !history.is_tried(&recipe) {
            return (Some(recipe), false);
        }
        if history.is_within(&recipe) {
            kept = count;
            break;
        }
        missed = count;
        count *= 2;
    }
    while kept - missed > 1 && kept < most {
        let middle = missed.midpoint(kept);
        let recipe = with(middle);
        if !history.is_tried(&recipe) {
            return (Some(recipe), true);
        }
        if history.is_within(&recipe) { kept = middle } else { missed = middle }
    }
    (None, kept < most)
}
