//! What is common to the two frameworks: trees that vote, and what becomes of the votes.

use crate::Format;

/// A model of boosted trees, or the linear model that XGBoost offers in their place.
#[derive(Debug)]
pub(super) struct Ensemble {
    pub(super) format: Format,
    /// Framework and version.
    pub(super) producer: String,
    /// How many numbers a row has.
    pub(super) features: usize,
    /// Their names, where the file has them.
    pub(super) feature_names: Vec<String>,
    /// How many scores a row gets.
    pub(super) targets: usize,
    /// What each score starts with.
    pub(super) base: Vec<f32>,
    pub(super) scores: Scores,
    pub(super) answer: Answer,
    /// What the reader should know.
    pub(super) notes: Vec<String>,
}

/// Where scores come from.
#[derive(Debug)]
pub(super) enum Scores {
    /// Each tree adds to one score, or to all.
    Trees(Vec<Tree>),
    /// A row of weights for each feature, then one of biases; missing features count nothing.
    Linear(Vec<f32>),
}

/// What `predict` makes of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    /// Numbers.
    Values(Link),
    /// Two classes: the sigmoid of the score times this is the probability of the second.
    Binary(f32),
    /// As many classes as scores, by their softmax.
    Softmax,
    /// As many classes as scores, each the sigmoid of the score times this.
    OneVersusAll(f32),
    /// Two classes, by the sign of the score; no probabilities.
    Sign,
}

/// From a score to a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Link {
    Identity,
    Exp,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// log(1 + exp(x))
    Softplus,
    /// x * |x|
    SignedSquare,
}

/// One tree. Splits and leaves are numbered apart; every split but the root has one parent.
#[derive(Debug)]
pub(super) struct Tree {
    /// Which score it adds to. `None`: a leaf has a value for each.
    pub(super) target: Option<usize>,
    pub(super) root: Child,
    /// The root, if it is no leaf, is the first.
    pub(super) splits: Vec<Split>,
    pub(super) leaves: Vec<f64>,
}

/// Where a branch leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Split(usize),
    Leaf(usize),
}

/// A question about one feature.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) rule: Rule,
    pub(super) left: Child,
    pub(super) right: Child,
}

/// What goes left.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// XGBoost: numbers below the threshold.
    Below { threshold: f32, missing_left: bool },
    /// XGBoost: categories that are not in the (sorted) set.
    NotIn { set: Vec<u32>, missing_left: bool },
    /// LightGBM: numbers not above the threshold, but for those that count as missing.
    AtMost { threshold: f64, missing: Missing, missing_left: bool },
    /// LightGBM: categories in the (sorted) set. What is missing goes right.
    In { set: Vec<u32> },
}

/// What LightGBM takes for missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing: NaN counts as zero.
    Nothing,
    /// Zero, and NaN as zero.
    Zero,
    /// NaN.
    NaN,
}

/// LightGBM takes numbers as small as this for zero (`kZeroThreshold`).
pub(super) const ZERO: f32 = 1e-35;

/// XGBoost knows no category from here on (`OutOfRangeCat`).
pub(super) const CATEGORIES: u32 = 1 << 24;

impl Ensemble {
    pub(super) fn trees(&self) -> &[Tree] {
        match &self.scores {
            Scores::Trees(trees) => trees,
            Scores::Linear(_) => &[],
        }
    }
}

impl Tree {
    /// How many values a leaf has.
    pub(super) fn width(&self, targets: usize) -> usize {
        if self.target.is_some() { 1 } else { targets }
    }
}
