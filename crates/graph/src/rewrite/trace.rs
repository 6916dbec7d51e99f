//! Running passes one by one, and what each of them changed.

use std::collections::BTreeMap;

use super::{MOST_ROUNDS, Options, PASSES, Pass, rewrite};
use crate::Model;

/// What one run of a pass changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassRecord {
    /// The name of the pass.
    pub pass: &'static str,
    /// How often the list of passes was begun, this time included.
    pub round: usize,
    /// Nodes before, those inside of nodes included.
    pub nodes_before: usize,
    /// Nodes after.
    pub nodes_after: usize,
    /// By operator: how many there were before and are after. Those whose number stayed are left
    /// out.
    pub operators: BTreeMap<String, (usize, usize)>,
    /// Whether anything changed; a pass may change what nodes take, and not how many there are.
    pub changed: bool,
}

/// A name that no pass has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no pass '{name}', expected one of {}", names())]
pub struct UnknownPass {
    /// The name.
    pub name: String,
}

fn names() -> String {
    PASSES.iter().map(|pass| pass.name).collect::<Vec<_>>().join(", ")
}

/// The passes of these names, or all, up to and with `last`; in the order of [`PASSES`].
pub fn select(only: &[&str], last: Option<&str>) -> Result<Vec<&'static Pass>, UnknownPass> {
    let place = |name: &str| {
        let place = PASSES.iter().position(|pass| pass.name == name);
        place.ok_or_else(|| UnknownPass { name: name.to_owned() })
    };
    let wanted = only.iter().map(|name| place(name)).collect::<Result<Vec<_>, _>>()?;
    let last = last.map(place).transpose()?.unwrap_or(PASSES.len() - 1);
    let passes = PASSES.iter().enumerate().take(last + 1);
    Ok(passes.filter(|(at, _)| wanted.is_empty() || wanted.contains(at)).map(|(_, p)| p).collect())
}

/// Runs passes over all graphs of a model until nothing changes, as [`clean`](super::clean) does
/// with all of them, and says what each run changed. The result is to be verified.
pub fn trace(
    mut model: Model,
    passes: &[&'static Pass],
    options: &Options,
) -> (Model, Vec<PassRecord>) {
    let mut records = Vec::new();
    let mut before = operators(&model);
    for round in 1..=MOST_ROUNDS {
        let start = records.len();
        for pass in passes {
            let (after_pass, changed) = rewrite(model, &[pass], options, 1);
            model = after_pass;
            let after = operators(&model);
            records.push(record(pass.name, round, (&before, &after), changed));
            before = after;
        }
        if !records[start..].iter().any(|record| record.changed) {
            break;
        }
    }
    (model, records)
}

fn operators(model: &Model) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in model.nodes() {
        *counts.entry(node.operator()).or_insert(0) += 1;
    }
    counts
}

fn record(
    pass: &'static str,
    round: usize,
    (before, after): (&BTreeMap<String, usize>, &BTreeMap<String, usize>),
    changed: bool,
) -> PassRecord {
    let count =
        |counts: &BTreeMap<String, usize>, name: &String| counts.get(name).copied().unwrap_or(0);
    let names = before.keys().chain(after.keys());
    let counts = names.map(|name| (name.clone(), (count(before, name), count(after, name))));
    PassRecord {
        pass,
        round,
        nodes_before: before.values().sum(),
        nodes_after: after.values().sum(),
        operators: counts.filter(|(_, (before, after))| before != after).collect(),
        changed,
    }
}
