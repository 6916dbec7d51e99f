//! How to prune.

use std::collections::HashMap;

use modelyard_train::transfer::matches;

use crate::OptimizeError;

/// How to remove channels.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much is to go.
    pub target: Target,
    /// How channels of different layers compare.
    pub ranking: Ranking,
    /// What makes a channel important.
    pub importance: Importance,
    /// Channels that stay are a multiple of this. `None`: 16 where a layer has 32 or more, 8 where it has
    /// 16 or more, else 1. Engines compute 16 channels at once: a layer of 24 takes longer than one of 32
    /// (docs/optimization.md).
    pub multiple: Option<usize>,
    /// Channels that stay in each layer at least.
    pub minimum: usize,
    /// Layers whose weight matches one of these names are left as they are; `*` stands for anything.
    pub exclude: Vec<String>,
    /// Whether channels may go that a LayerNormalization takes mean and variance over: what is left is
    /// then normalized by itself, which is not what the whole gave.
    pub narrow: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: Target::Channels(0.5),
            ranking: Ranking::Uniform,
            importance: Importance::L2,
            multiple: None,
            minimum: 1,
            exclude: Vec::new(),
            narrow: false,
        }
    }
}

/// How much is to go, as a share of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Of the channels, about: what stays is rounded up to the multiple.
    Channels(f64),
    /// Of the operations of a run, at least.
    Flops(f64),
    /// Of the elements of all weights, at least.
    Parameters(f64),
}

impl Target {
    /// The share.
    pub fn share(self) -> f64 {
        match self {
            Target::Channels(share) | Target::Flops(share) | Target::Parameters(share) => share,
        }
    }
}

/// How channels of different layers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// Not at all: each layer loses the same share.
    Uniform,
    /// By importance, divided by its mean over the layer: the least important of all go first.
    Global,
}

/// What makes a channel important: a sum over all filters that make it.
#[derive(Clone, Debug)]
pub enum Importance {
    /// The absolute weights of its filters (Li et al. 2017).
    L1,
    /// The square root of their sum of squares.
    L2,
    /// The absolute scales of its batch normalizations (Liu et al. 2017); L2 where there are none.
    BatchNorm,
    /// What of the loss depends on its filters to first order, `|w dL/dw|` (Molchanov et al. 2019): by
    /// weight, as [`super::Taylor`] gives it.
    Taylor(HashMap<String, Vec<f32>>),
}

impl Options {
    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), OptimizeError> {
        let share = self.target.share();
        if !(share > 0.0 && share < 1.0) {
            let text = format!("expected a share above 0 and below 1 to remove, found {share}");
            return Err(OptimizeError::Invalid(text));
        }
        if self.multiple == Some(0) {
            return Err(OptimizeError::Invalid(
                "expected a multiple of at least 1, found 0".into(),
            ));
        }
        Ok(())
    }

    /// What the channels of a layer with so many stay a multiple of.
    pub(super) fn multiple(&self, channels: usize) -> usize {
        self.multiple.unwrap_or(match channels {
            32.. => 16,
            16.. => 8,
            _ => 1,
        })
    }

    /// Why layers with these weights are left as they are, if that was asked for.
    pub(super) fn excludes(&self, weights: &[(String, usize)]) -> Option<String> {
        let is_excluded = |name: &str| self.exclude.iter().any(|pattern| matches(pattern, name));
        let found = weights.iter().find(|(name, _)| is_excluded(name));
        found.map(|(name, _)| format!("'{name}' is excluded"))
    }
}
