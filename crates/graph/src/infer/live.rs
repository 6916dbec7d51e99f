//! How much memory values take at the same time: each lives from the node that makes it to the
//! last one that takes it.

use std::collections::{HashMap, HashSet};

use super::fact::Fact;
use crate::{Graph, Node};

/// Bytes alive while the nodes of a graph run in order.
pub(super) struct Live<'a> {
    /// For each node, the values that nobody takes after it.
    dying: Vec<Vec<&'a str>>,
    bytes: u64,
    peak: u64,
}

impl<'a> Live<'a> {
    /// Before the first node, with the inputs alive. `outputs` live to the end.
    pub(super) fn new(nodes: &'a [Node], outputs: &[&str], inputs: u64) -> Live<'a> {
        let kept: HashSet<&str> = outputs.iter().copied().collect();
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let given = node.outputs.iter().map(String::as_str);
            let names = given.chain(taken(node)).filter(|name| !kept.contains(name));
            for name in names {
                last.insert(name, index);
            }
        }
        let mut dying = vec![Vec::new(); nodes.len()];
        for (name, index) in last {
            dying[index].push(name);
        }
        Live { dying, bytes: inputs, peak: inputs }
    }

    /// A node makes values of `made` bytes, and needs `inside` bytes while it runs.
    pub(super) fn grow(&mut self, made: u64, inside: u64) {
        self.bytes = self.bytes.saturating_add(made);
        self.peak = self.peak.max(self.bytes.saturating_add(inside));
    }

    /// After node `index`: what nobody of this graph takes any more is gone.
    pub(super) fn shrink(&mut self, index: usize, facts: &HashMap<String, Fact>) {
        for name in &self.dying[index] {
            if let Some(fact) = facts.get(*name).filter(|fact| !fact.constant) {
                self.bytes = self.bytes.saturating_sub(fact.bytes());
            }
        }
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }
}

/// Names that a node takes, those that the graphs inside it take from outside included.
fn taken(node: &Node) -> impl Iterator<Item = &str> {
    let mut names: Vec<&str> = node.inputs.iter().map(String::as_str).collect();
    let mut stack: Vec<&Graph> = node.subgraphs().collect();
    while let Some(graph) = stack.pop() {
        names.extend(graph.outputs.iter().map(|output| output.name.as_str()));
        for inner in &graph.nodes {
            names.extend(inner.inputs.iter().map(String::as_str));
            stack.extend(inner.subgraphs());
        }
    }
    names.into_iter()
}
