//! What is said of a pruned model.

use modelyard_graph::{Model, summary};
use serde::Serialize;

/// A model with fewer channels.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// The model.
    pub model: Model,
    /// What was done to it.
    pub report: Report,
}

/// What was removed, what not, and what it is good for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was looked at: each a layer, or layers that are added up.
    pub groups: Vec<GroupReport>,
    /// What was left as it is, and why.
    pub refused: Vec<Refused>,
    /// The model as it was.
    pub before: Cost,
    /// The model as it is.
    pub after: Cost,
}

/// Channels of one layer, or of several that are added up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupReport {
    /// The weights that make them.
    pub weights: Vec<String>,
    /// How many there were.
    pub channels: usize,
    /// How many stay.
    pub kept: usize,
    /// How many go together: the size of a head.
    pub unit: usize,
    /// Whether what is left computes what the whole would without the others.
    pub exact: bool,
}

/// Channels that were left as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The weights that make them.
    pub weights: Vec<String>,
    /// How many.
    pub channels: usize,
    /// Why.
    pub reason: String,
}

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Operations of a run, with every open dimension standing for 1.
    pub flops: u64,
    /// Elements of all constants.
    pub parameters: u64,
}

impl Cost {
    /// The cost of a model.
    pub fn of(model: &Model) -> Cost {
        let summary = summary::describe(model);
        Cost { flops: summary.flops, parameters: summary.parameters }
    }
}
