//! Definitions that see each other, and what became of them: how names in them are resolved.

use std::collections::{BTreeMap, HashMap};

use super::arguments;
use super::graph::Port;
use super::proto::{AttrValue, NodeDef};

/// Definitions that see each other: of the graph or of one call of a function.
pub(super) struct Scope<'a> {
    pub(super) nodes: &'a [NodeDef],
    pub(super) index: HashMap<&'a str, usize>,
    /// Values that the caller gives, by the names of the function's arguments.
    pub(super) arguments: HashMap<&'a str, Port>,
    /// Attributes that the caller gives.
    pub(super) attrs: BTreeMap<String, AttrValue>,
    /// Values that stand for outputs of nodes.
    pub(super) fed: HashMap<(String, usize), Port>,
    pub(super) done: HashMap<usize, Vec<Port>>,
    pub(super) prefix: String,
    pub(super) is_function: bool,
}

impl<'a> Scope<'a> {
    pub(super) fn new(nodes: &'a [NodeDef], prefix: String) -> Scope<'a> {
        let index = nodes.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
        Scope {
            nodes,
            index,
            arguments: HashMap::new(),
            attrs: BTreeMap::new(),
            fed: HashMap::new(),
            done: HashMap::new(),
            prefix,
            is_function: false,
        }
    }

    /// The name of a node and the number of its output.
    pub(super) fn split(value: &str) -> (&str, Option<usize>) {
        match value.split_once(':') {
            Some((name, output)) => (name, output.parse().ok()),
            None => (value, Some(0)),
        }
    }

    /// The value that a text names, if its node was written.
    pub(super) fn find(&self, text: &str) -> Option<Found> {
        if let Some(&port) = self.arguments.get(text) {
            return Some(Found::Value(port));
        }
        let (name, output) = match self.is_function {
            false => {
                let (name, output) = Scope::split(text);
                (name, output?)
            }
            true => {
                let mut parts = text.split(':');
                let name = parts.next()?;
                let node = &self.nodes[*self.index.get(name)?];
                let argument = parts.next().unwrap_or_default();
                let within: usize = parts.next().map_or(Some(0), |part| part.parse().ok())?;
                (name, arguments::first_output(node, argument).checked_add(within)?)
            }
        };
        if let Some(&port) = self.fed.get(&(name.to_owned(), output)) {
            return Some(Found::Value(port));
        }
        let at = *self.index.get(name)?;
        match self.done.get(&at) {
            // One value: the node itself, whose outputs are numbered as in the file.
            Some(ports) => Some(match ports.as_slice() {
                [Port { node, output: usize::MAX }] => Found::Value(Port { node: *node, output }),
                ports => Found::Value(*ports.get(output)?),
            }),
            None => Some(Found::Node(at)),
        }
    }
}

pub(super) enum Found {
    Value(Port),
    /// A node that is still to be written.
    Node(usize),
}
