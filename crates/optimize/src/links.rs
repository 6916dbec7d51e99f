//! Who gives a value, and who takes it, in the main graph.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, Graph, Node};

/// An index of the main graph's values by name.
pub(crate) struct Links<'a> {
    pub(crate) graph: &'a Graph,
    producers: HashMap<&'a str, usize>,
    users: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
    constants: HashMap<&'a str, usize>,
}

impl<'a> Links<'a> {
    pub(crate) fn of(graph: &'a Graph) -> Links<'a> {
        let mut links = Links {
            graph,
            producers: HashMap::new(),
            users: HashMap::new(),
            outputs: graph.outputs.iter().map(|output| output.name.as_str()).collect(),
            constants: HashMap::new(),
        };
        for (number, constant) in graph.initializers.iter().enumerate() {
            links.constants.insert(&constant.name, number);
        }
        // An input with a default is no constant.
        for input in &graph.inputs {
            links.constants.remove(input.name.as_str());
        }
        for (number, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                links.producers.insert(output, number);
            }
            for input in uses(node) {
                let users = links.users.entry(input).or_default();
                if users.last() != Some(&number) {
                    users.push(number);
                }
            }
        }
        links
    }

    /// Number of the node that gives a value.
    pub(crate) fn producer(&self, name: &str) -> Option<usize> {
        self.producers.get(name).copied()
    }

    /// Numbers of the nodes that take a value, or have a graph inside that does.
    pub(crate) fn users(&self, name: &str) -> &[usize] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the graph gives this value.
    pub(crate) fn is_output(&self, name: &str) -> bool {
        self.outputs.contains(name)
    }

    /// The only node that takes a value, if that is its only use.
    pub(crate) fn only_user(&self, name: &str) -> Option<usize> {
        match self.users(name) {
            [user] if !self.is_output(name) => Some(*user),
            _ => None,
        }
    }

    /// The constant of this name.
    pub(crate) fn constant(&self, name: &str) -> Option<&'a Constant> {
        self.constants.get(name).map(|&number| &self.graph.initializers[number])
    }
}

/// Names that a node takes, with those that graphs inside it take from around.
pub(crate) fn uses(node: &Node) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.inputs.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let mut graphs: Vec<&Graph> = node.subgraphs().collect();
    while let Some(graph) = graphs.pop() {
        names.extend(graph.outputs.iter().map(|output| output.name.as_str()));
        for inner in &graph.nodes {
            names.extend(inner.inputs.iter().map(String::as_str));
            graphs.extend(inner.subgraphs());
        }
    }
    names
}
