//! Which channels go, to reach a target.

use std::collections::HashSet;

use modelyard_graph::Model;

use super::apply::{Detail, without};
use super::groups::Group;
use super::options::{Options, Ranking, Target};
use super::report::Cost;
use super::space::Space;
use crate::OptimizeError;

/// Halvings in the search for a share: finer than any layer has channels.
const HALVINGS: usize = 20;

/// By group: how many classes stay.
pub(super) type Kept = Vec<usize>;

/// What is chosen from.
pub(super) struct Choice<'a> {
    pub(super) model: &'a Model,
    pub(super) space: &'a Space,
    pub(super) groups: &'a [Group],
    /// By group, by class.
    pub(super) scores: &'a [Vec<f64>],
    pub(super) options: &'a Options,
    /// The cost of the model as it is.
    pub(super) before: Cost,
}

impl Choice<'_> {
    /// How many classes of each group stay, to reach the target with as few gone as possible.
    pub(super) fn kept(&self) -> Result<Kept, OptimizeError> {
        let target = self.options.target;
        if let Target::Channels(share) = target {
            return Ok(self.at(share));
        }
        let most = self.gone(&self.at(1.0))?;
        if most < target.share() {
            return Err(self.cannot(most));
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            match self.gone(&self.at(middle))? >= target.share() {
                true => high = middle,
                false => low = middle,
            }
        }
        Ok(self.at(high))
    }

    /// Classes that stay when this share of the channels goes.
    fn at(&self, share: f64) -> Kept {
        let stay = |count: usize, share: f64| {
            ((count as f64 * (1.0 - share)) - 1e-9).ceil().max(0.0) as usize
        };
        match self.options.ranking {
            Ranking::Uniform => {
                let kept = |group: &Group| group.kept(stay(group.classes.len(), share));
                self.groups.iter().map(kept).collect()
            }
            Ranking::Global => {
                let mut all: Vec<(f64, usize)> = Vec::new();
                for (group, scores) in self.scores.iter().enumerate() {
                    all.extend(scores.iter().map(|&score| (score, group)));
                }
                all.sort_by(|one, two| two.0.total_cmp(&one.0));
                let mut wanted = vec![0; self.groups.len()];
                for (_, group) in all.iter().take(stay(all.len(), share)) {
                    wanted[*group] += 1;
                }
                self.groups.iter().zip(wanted).map(|(group, wanted)| group.kept(wanted)).collect()
            }
        }
    }

    /// The classes that go, the least important of each group.
    pub(super) fn removed(&self, kept: &Kept) -> HashSet<usize> {
        let mut removed = HashSet::new();
        for ((group, scores), kept) in self.groups.iter().zip(self.scores).zip(kept) {
            let mut order: Vec<usize> = (0..group.classes.len()).collect();
            order.sort_by(|&one, &two| scores[two].total_cmp(&scores[one]));
            removed.extend(order.iter().skip(*kept).map(|&class| group.classes[class].root));
        }
        removed
    }

    /// The share of the cost that is gone.
    fn gone(&self, kept: &Kept) -> Result<f64, OptimizeError> {
        let made = without(self.model, self.space, &self.removed(kept), Detail::Sketch)?;
        let after = Cost::of(&made);
        let (before, after) = match self.options.target {
            Target::Parameters(_) => (self.before.parameters, after.parameters),
            _ => (self.before.flops, after.flops),
        };
        Ok(1.0 - after as f64 / before.max(1) as f64)
    }

    fn cannot(&self, most: f64) -> OptimizeError {
        let what = match self.options.target {
            Target::Parameters(_) => "parameters",
            _ => "FLOPs",
        };
        let wanted = 100.0 * self.options.target.share();
        OptimizeError::Invalid(format!(
            "{wanted:.1} % of the {what} cannot be removed with whole channels: {:.1} % is the most, with \
             every layer at its least width (--minimum and --multiple set it)",
            100.0 * most
        ))
    }
}
