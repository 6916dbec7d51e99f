//! What to try next.
//!
//! From what costs little to what costs much: passes, fewer bits, then other ranges and repairs where
//! integers lost too much, floats where single layers cannot bear integers, and at last fewer channels.
//! Gains do not add up (integers made a half-pruned network slower, docs/optimization.md), so each
//! combination is measured.

use std::collections::HashSet;

use super::{Budget, Calibrator, Figures, Goal, Recipe, Static, Step, Trial};

/// What the strategy has to know of the model and the data.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// Whether there are examples to take ranges from.
    pub has_examples: bool,
    /// Whether there are convolutions.
    pub has_convolutions: bool,
    /// Whether there are products with constant weights.
    pub has_products: bool,
    /// Whether the engine has products of 4-bit weights.
    pub has_int4: bool,
    /// Whether the model can be trained, and there are examples to train it with.
    pub can_train: bool,
    /// Names of nodes that integers can be put into, those first that lose most by it. Empty before it
    /// was measured.
    pub sensitive: Vec<String>,
}

/// Percents of channels that are taken out, in order.
const PRUNED: [u32; 3] = [25, 50, 75];

/// The next candidate to try; `None` when nothing promising is left.
pub fn next(
    trials: &[Trial],
    situation: &Situation,
    (goal, budget): (Goal, Budget),
) -> Option<Recipe> {
    let tried: HashSet<&Recipe> = trials.iter().map(|trial| &trial.recipe).collect();
    let history = History { trials, situation, goal, budget };
    history.wanted().into_iter().find(|recipe| !tried.contains(recipe))
}

struct History<'a> {
    trials: &'a [Trial],
    situation: &'a Situation,
    goal: Goal,
    budget: Budget,
}

impl History<'_> {
    /// All that is worth trying as far as is known, in order.
    fn wanted(&self) -> Vec<Recipe> {
        let base = Recipe(vec![Step::Passes]);
        let mut wanted = vec![base.clone()];
        if self.goal == Goal::Size || self.goal == Goal::Memory {
            wanted.push(base.then(Step::Half));
        }
        if self.situation.has_products {
            // A convolution gets slower by dynamic integers; products in between gain little.
            if !self.situation.has_convolutions || self.goal == Goal::Size {
                wanted.push(base.then(Step::Dynamic));
            }
            if self.situation.has_int4 && matches!(self.goal, Goal::Size | Goal::Memory) {
                wanted.push(base.then(Step::Int4));
            }
        }
        wanted.extend(self.integers(&base));
        wanted.extend(self.pruned(&base));
        wanted
    }

    fn figures(&self, recipe: &Recipe) -> Option<&Figures> {
        let found = self.trials.iter().find(|trial| trial.recipe == *recipe)?;
        found.outcome.as_ref().ok()
    }

    fn is_within(&self, recipe: &Recipe) -> bool {
        self.figures(recipe).is_some_and(|figures| figures.is_within(self.budget))
    }

    /// Static integers; other ranges and repairs only where the budget is missed without.
    fn integers(&self, base: &Recipe) -> Vec<Recipe> {
        if !self.situation.has_examples {
            return Vec::new();
        }
        let step = |step: Static| base.then(Step::Static(step));
        let plain = step(Static::default());
        let mut wanted = vec![plain.clone()];
        let Some(figures) = self.figures(&plain) else { return wanted };
        if figures.is_within(self.budget) {
            return wanted;
        }
        let calibrators = [Calibrator::Percentile, Calibrator::Mse, Calibrator::Entropy];
        wanted
            .extend(calibrators.map(|calibrator| step(Static { calibrator, ..Static::default() })));
        let repaired = |calibrator| Static {
            calibrator,
            smooth: !self.situation.has_convolutions,
            correct_bias: true,
            ..Static::default()
        };
        for calibrator in [Calibrator::MinMax, Calibrator::Mse] {
            wanted.push(step(repaired(calibrator)));
            if self.situation.has_convolutions {
                let equalized = base.then(Step::Equalize);
                wanted.push(equalized.then(Step::Static(repaired(calibrator))));
            }
        }
        if wanted.iter().all(|recipe| self.figures(recipe).is_some() || self.failed(recipe)) {
            wanted.extend(self.mixed(&wanted));
        }
        wanted
    }

    fn failed(&self, recipe: &Recipe) -> bool {
        self.trials.iter().any(|trial| trial.recipe == *recipe && trial.outcome.is_err())
    }

    /// The best integers so far, with more and more of the most sensitive nodes as floats: doubled
    /// until the budget is kept, then halved between what kept it and what did not.
    fn mixed(&self, integers: &[Recipe]) -> Option<Recipe> {
        if integers.iter().any(|recipe| self.is_within(recipe)) {
            return None;
        }
        let drop =
            |recipe: &&Recipe| self.figures(recipe).map_or(f64::INFINITY, |it| it.drop.estimate);
        let best = integers.iter().min_by(|one, two| drop(one).total_cmp(&drop(two)))?;
        let with = |count: usize| {
            let steps = best.0.iter().map(|step| match step {
                Step::Static(found) => {
                    let floats = self.situation.sensitive[..count].to_vec();
                    Step::Static(Static { floats, ..found.clone() })
                }
                other => other.clone(),
            });
            Recipe(steps.collect())
        };
        let most = self.situation.sensitive.len();
        let (mut missed, mut kept) = (0, most);
        let mut count = 1;
        while count < most {
            let recipe = with(count);
            if self.figures(&recipe).is_none() && !self.failed(&recipe) {
                return Some(recipe);
            }
            if self.is_within(&recipe) {
                kept = count;
                break;
            }
            missed = count;
            count *= 2;
        }
        while kept - missed > 1 && kept < most {
            let middle = missed.midpoint(kept);
            let recipe = with(middle);
            if self.figures(&recipe).is_none() && !self.failed(&recipe) {
                return Some(recipe);
            }
            if self.is_within(&recipe) { kept = middle } else { missed = middle }
        }
        None
    }

    /// Fewer channels, as long as the budget is kept; and integers on the best of these.
    fn pruned(&self, base: &Recipe) -> Vec<Recipe> {
        if !self.situation.can_train {
            return Vec::new();
        }
        let mut wanted = Vec::new();
        for percent in PRUNED {
            let recipe = Recipe(vec![Step::Prune { percent }]).join(base);
            wanted.push(recipe.clone());
            if !self.is_within(&recipe) {
                break;
            }
            if self.situation.has_examples {
                wanted.push(recipe.then(Step::Static(Static::default())));
            }
        }
        wanted
    }
}

impl Recipe {
    fn join(mut self, other: &Recipe) -> Recipe {
        self.0.extend(other.0.iter().cloned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{best, front, nearest};
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
        let mut trials = Vec::new();
        while let Some(recipe) = next(&trials, situation, wanted) {
            let outcome = Ok(figures(drop(&recipe), 0.5));
            trials.push(Trial { recipe, outcome });
            assert!(trials.len() < 100, "the search does not end");
        }
        trials
    }

    fn situation() -> Situation {
        Situation {
            has_examples: true,
            has_convolutions: true,
            sensitive: (0..20).map(|number| format!("layer{number}")).collect(),
            ..Situation::default()
        }
    }

    #[test]
    fn what_is_good_enough_is_not_repaired() {
        let trials = run(&situation(), |_| 0.0);
        let names: Vec<String> = trials.iter().map(|trial| trial.recipe.to_string()).collect();
        assert_eq!(names, ["passes", "passes + int8 static (min-max)"]);
    }

    #[test]
    fn as_few_layers_as_needed_stay_floats() {
        let floats = |recipe: &Recipe| recipe.static_step().map_or(20, |step| step.floats.len());
        let trials = run(&situation(), |recipe| if floats(recipe) >= 5 { 0.0 } else { 0.1 });
        let tried: Vec<usize> = trials.iter().map(|trial| floats(&trial.recipe)).collect();
        let mixed: Vec<usize> =
            tried.into_iter().filter(|count| *count > 0 && *count < 20).collect();
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
}
