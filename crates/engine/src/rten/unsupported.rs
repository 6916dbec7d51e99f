//! Operators that rten does not have, found by asking it.
//!
//! Its loader stops at the first; each node is therefore tried alone.

use std::collections::HashMap;

use modelyard_graph::{Graph, Model, Node, Value, ValueType};
use rten::{LoadErrorKind, ModelOptions};

use crate::Refusal;

/// Every node that the loader does not take.
pub(super) fn refusals(model: &Model) -> Vec<Refusal> {
    let mut options = ModelOptions::with_all_ops();
    options.enable_optimization(false);
    let mut known: HashMap<String, Option<String>> = HashMap::new();
    let mut refusals = Vec::new();
    for node in model.nodes().filter(|node| is_tried(node)) {
        let key = format!("{} {:?}", node.operator(), node.attributes);
        let reason = known.entry(key).or_insert_with(|| try_out(model, node, &options));
        if let Some(reason) = reason {
            refusals.push(Refusal::new(node, reason.clone()));
        }
    }
    refusals
}

/// Nodes with graphs inside need values from outside; the nodes in those graphs are tried one by
/// one. Constants are not operators to rten.
fn is_tried(node: &Node) -> bool {
    node.subgraphs().next().is_none() && !node.is("Constant")
}

/// Why the loader does not take this node.
fn try_out(model: &Model, node: &Node, options: &ModelOptions) -> Option<String> {
    let value = |name: &String| Value { name: name.clone(), value_type: ValueType::Unknown };
    let named = |names: &[String]| {
        let mut names: Vec<String> =
            names.iter().filter(|name| !name.is_empty()).cloned().collect();
        names.sort();
        names.dedup();
        names.iter().map(value).collect()
    };
    let graph = Graph {
        inputs: named(&node.inputs),
        outputs: named(&node.outputs),
        nodes: vec![node.clone()],
        ..Graph::default()
    };
    let mut alone = Model::unverified(graph);
    alone.opsets = model.opsets.clone();
    let error = options.load(alone.encode()).err()?;
    let text = error.to_string();
    let reason = match text.strip_prefix(&format!("in node \"{}\": ", node.name)) {
        Some(reason) => reason,
        None => text.as_str(),
    };
    (error.kind() == LoadErrorKind::OperatorInvalid)
        .then(|| reason.trim_start_matches("operator error: ").to_owned())
}
