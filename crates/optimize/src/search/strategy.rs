//! What to try next.
//!
//! From what costs little to what costs much: passes, fewer bits, then other ranges and repairs where
//! integers lost too much, floats where single layers cannot bear integers, training with rounded weights,
//! and at last fewer channels. Gains do not add up (integers made a half-pruned network slower,
//! docs/optimization.md), so each combination is measured.

use super::history::History;
use super::integers::integers;
use super::{Budget, Goal, Recipe, Rounding, Static, Step, Trial};

/// What the strategy has to know of the model and the data.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// Whether there are examples to take ranges from.
    pub has_examples: bool,
    /// Whether there are convolutions.
    pub has_convolutions: bool,
    /// Whether there are layers between which ranges can be moved.
    pub has_pairs: bool,
    /// Whether there are products with constant weights.
    pub has_products: bool,
    /// Whether the engine has products of 4-bit weights.
    pub has_int4: bool,
    /// Whether the model can be trained, and there are examples to train it with.
    pub can_train: bool,
    /// Names of nodes that integers can be put into, those first that lose most by it. `None` before it
    /// was measured.
    pub sensitive: Option<Vec<String>>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// A candidate is made and measured.
    Try(Recipe),
    /// What each node loses by integers is measured: [`Situation::sensitive`].
    Rank,
}

/// Percents of channels that are taken out, in order.
const PRUNED: [u32; 3] = [25, 50, 75];

/// What to do next; `None` when nothing promising is left.
pub fn next(
    trials: &[Trial],
    situation: &Situation,
    (goal, budget): (Goal, Budget),
) -> Option<Move> {
    let history = History { trials, situation, goal, budget };
    let is_open = |wanted: &Move| match wanted {
        Move::Try(recipe) => !history.is_tried(recipe),
        Move::Rank => situation.sensitive.is_none(),
    };
    let first = cheap(&history).into_iter().map(Move::Try);
    let all = first.chain(integers(&history)).chain(pruned(&history).into_iter().map(Move::Try));
    let all = all.chain(stored(&history).map(Move::Try));
    all.into_iter().find(is_open)
}

/// What all candidates begin with.
pub(super) fn base() -> Recipe {
    Recipe(vec![Step::Passes])
}

/// What is made in an instant.
fn cheap(history: &History<'_>) -> Vec<Recipe> {
    let (situation, goal) = (history.situation, history.goal);
    let is_of_bytes = matches!(goal, Goal::Size | Goal::Memory);
    let mut wanted = vec![base()];
    if is_of_bytes {
        wanted.push(base().then(Step::Half));
    }
    if situation.has_products {
        // A convolution gets slower by dynamic integers; products in between gain little.
        if !situation.has_convolutions || goal == Goal::Size {
            wanted.push(base().then(Step::Dynamic));
        }
        if situation.has_int4 && is_of_bytes {
            wanted.push(base().then(Step::Int4));
        }
    }
    wanted
}

/// Fewer channels, as long as the budget is kept; and integers on each of these.
fn pruned(history: &History<'_>) -> Vec<Recipe> {
    let mut wanted = Vec::new();
    if !history.situation.can_train {
        return wanted;
    }
    for percent in PRUNED {
        let recipe = Recipe(vec![Step::Prune { percent }, Step::Passes]);
        wanted.push(recipe.clone());
        if history.failed(&recipe) {
            continue;
        }
        if !history.is_within(&recipe) {
            break;
        }
        if !history.situation.has_examples {
            continue;
        }
        let nearest = recipe.then(Step::Static(Static::default()));
        wanted.push(nearest.clone());
        if history.misses(&nearest) {
            let rounding = Rounding::Trained;
            wanted.push(recipe.then(Step::Static(Static { rounding, ..Static::default() })));
        }
    }
    wanted
}

/// The best so far with its weights in 16 bits, where they are floats: half the file, and as fast in
/// engines that make floats of them when they load.
fn stored(history: &History<'_>) -> Option<Recipe> {
    let best = history.best()?;
    let is_narrow =
        |step: &Step| !matches!(step, Step::Passes | Step::Prune { .. } | Step::Equalize);
    (!best.0.iter().any(is_narrow)).then(|| best.then(Step::Half))
}
