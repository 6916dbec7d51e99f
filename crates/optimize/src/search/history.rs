//! What is known so far.

use super::{Budget, Figures, Goal, Recipe, Situation, Trial};

/// What was tried, and for what.
pub(super) struct History<'a> {
    pub(super) trials: &'a [Trial],
    pub(super) situation: &'a Situation,
    pub(super) goal: Goal,
    pub(super) budget: Budget,
}

impl History<'_> {
    fn find(&self, recipe: &Recipe) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.recipe == *recipe)
    }

    /// Whether a candidate was tried, whatever came of it.
    pub(super) fn is_tried(&self, recipe: &Recipe) -> bool {
        self.find(recipe).is_some()
    }

    /// What was measured of a candidate.
    pub(super) fn figures(&self, recipe: &Recipe) -> Option<&Figures> {
        self.find(recipe)?.outcome.as_ref().ok()
    }

    /// Whether a candidate could not be made or measured.
    pub(super) fn failed(&self, recipe: &Recipe) -> bool {
        self.find(recipe).is_some_and(|trial| trial.outcome.is_err())
    }

    /// Whether a candidate was measured and keeps the budget.
    pub(super) fn is_within(&self, recipe: &Recipe) -> bool {
        self.figures(recipe).is_some_and(|figures| figures.is_within(self.budget))
    }

    /// Whether a candidate was measured and does not keep the budget.
    pub(super) fn misses(&self, recipe: &Recipe) -> bool {
        self.figures(recipe).is_some_and(|figures| !figures.is_within(self.budget))
    }

    /// Of some candidates, the one that was measured to lose least.
    pub(super) fn least_lost<'r>(&self, recipes: &'r [Recipe]) -> Option<&'r Recipe> {
        let measured =
            recipes.iter().filter_map(|recipe| Some((self.figures(recipe)?.drop.estimate, recipe)));
        measured.min_by(|one, two| one.0.total_cmp(&two.0)).map(|(_, recipe)| recipe)
    }

    /// The candidate within the budget that is best so far.
    pub(super) fn best(&self) -> Option<&Recipe> {
        let measured = self.trials.iter().filter_map(|trial| {
            let figures = trial.outcome.as_ref().ok()?;
            figures.is_within(self.budget).then(|| (figures.goal(self.goal), &trial.recipe))
        });
        measured.min_by(|one, two| one.0.total_cmp(&two.0)).map(|(_, recipe)| recipe)
    }
}
