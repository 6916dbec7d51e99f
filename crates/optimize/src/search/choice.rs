//! What was won.

use super::{Budget, Figures, Goal, Trial};
use crate::statistics::Difference;

/// Times that are no further apart count as the same: a model that is measured twice differs as much.
const ALIKE: f64 = 1.03;

/// The best candidate within the budget that is really better than the original: for times, the whole
/// interval of the ratio lies below what `original` shows beside itself. Of those as fast as the fastest, the smallest. `None` where there
/// is none.
pub fn best(trials: &[Trial], original: &Figures, goal: Goal, budget: Budget) -> Option<usize> {
    let measured = |(number, trial): (usize, &Trial)| Some((number, *trial.outcome.as_ref().ok()?));
    let is_good =
        |figures: &Figures| figures.is_within(budget) && is_better(figures, original, goal);
    let good: Vec<(usize, Figures)> = trials
        .iter()
        .enumerate()
        .filter_map(measured)
        .filter(|(_, figures)| is_good(figures))
        .collect();
    let fastest = good.iter().map(|(_, figures)| figures.goal(goal)).fold(f64::INFINITY, f64::min);
    let is_of_time = matches!(goal, Goal::Latency | Goal::Throughput);
    let limit = if is_of_time { ALIKE * fastest } else { fastest };
    good.into_iter()
        .filter(|(_, figures)| figures.goal(goal) <= limit)
        .min_by(|(_, one), (_, two)| {
            one.bytes.cmp(&two.bytes).then(one.drop.estimate.total_cmp(&two.drop.estimate))
        })
        .map(|(number, _)| number)
}

fn is_better(figures: &Figures, original: &Figures, goal: Goal) -> bool {
    match goal {
        Goal::Latency => figures.latency.high < floor(&original.latency),
        Goal::Throughput => figures.throughput.high < floor(&original.throughput),
        Goal::Size => figures.bytes < original.bytes,
        Goal::Memory => figures.memory_bytes < original.memory_bytes,
    }
}

/// What a ratio has to be below to be more than noise, by that of a model to itself.
fn floor(itself: &Difference) -> f64 {
    itself.low.min(itself.high.recip()).min(1.0)
}

/// The better candidate that is nearest to a budget that none is within: what to tell who asked.
pub fn nearest(trials: &[Trial], original: &Figures, goal: Goal) -> Option<usize> {
    let measured = |(number, trial): (usize, &Trial)| Some((number, *trial.outcome.as_ref().ok()?));
    let better = trials.iter().enumerate().filter_map(measured);
    let better = better.filter(|(_, figures)| is_better(figures, original, goal));
    better
        .min_by(|(_, one), (_, two)| one.drop.estimate.total_cmp(&two.drop.estimate))
        .map(|(number, _)| number)
}

/// Numbers of the candidates that no other one beats in both the drop and the goal, by their drop.
pub fn front(trials: &[Trial], goal: Goal) -> Vec<usize> {
    let measured = |(number, trial): (usize, &Trial)| {
        let figures = trial.outcome.as_ref().ok()?;
        Some((figures.drop.estimate, figures.goal(goal), number))
    };
    let mut points: Vec<(f64, f64, usize)> =
        trials.iter().enumerate().filter_map(measured).collect();
    points.sort_by(|one, two| one.0.total_cmp(&two.0).then(one.1.total_cmp(&two.1)));
    let mut best = f64::INFINITY;
    points.retain(|point| {
        let is_better = point.1 < best;
        best = best.min(point.1);
        is_better
    });
    points.into_iter().map(|(_, _, number)| number).collect()
}
