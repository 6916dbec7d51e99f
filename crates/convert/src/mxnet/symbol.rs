//! `symbol.json`: nodes in order, each with its operator, attributes and where its inputs come
//! from.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::attributes::Attributes;
use super::malformed;
use crate::{ConvertError, Limits};

/// The graph of a symbol. What it says about places of nodes was checked.
#[derive(Debug)]
pub(super) struct Symbol {
    pub(super) nodes: Vec<Node>,
    /// What is answered.
    pub(super) heads: Vec<Place>,
    /// Version of MXNet that wrote it, as one number: 10901 for 1.9.1; 0 where it does not say.
    pub(super) version: u64,
}

/// A variable or an operation.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// The operator; `null` for variables.
    pub(super) operator: String,
    pub(super) attributes: Attributes,
    pub(super) inputs: Vec<Place>,
}

impl Node {
    pub(super) fn is_variable(&self) -> bool {
        self.operator == "null"
    }
}

/// An output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// The number of the node: of an earlier one, for inputs.
    pub(super) node: usize,
    /// Which of its outputs.
    pub(super) output: usize,
}

impl Symbol {
    /// Adds variables, each as one more input of the operation of that name.
    pub(super) fn add_variables(&mut self, added: &[(String, String)]) {
        let count = added.len();
        let inputs = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        for place in inputs.chain(&mut self.heads) {
            place.node += count;
        }
        for (number, (operation, _)) in added.iter().enumerate() {
            let place = Place { node: number, output: 0 };
            let node = self.nodes.iter_mut().find(|node| node.name == *operation);
            node.into_iter().for_each(|node| node.inputs.push(place));
        }
        let variable = |(_, name): &(String, String)| Node {
            name: name.clone(),
            operator: "null".into(),
            attributes: Attributes::default(),
            inputs: Vec::new(),
        };
        self.nodes.splice(0..0, added.iter().map(variable));
    }
}

#[derive(Deserialize)]
struct File {
    nodes: Vec<FileNode>,
    heads: Vec<Vec<serde_json::Value>>,
    #[serde(default)]
    attrs: BTreeMap<String, serde_json::Value>,
}

/// Over the years attributes were called `param` (with `attr` for those that users add), `attr` and
/// `attrs`.
#[derive(Deserialize)]
struct FileNode {
    op: String,
    name: String,
    #[serde(default)]
    inputs: Vec<Vec<u64>>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(default)]
    attr: BTreeMap<String, String>,
    #[serde(default)]
    param: BTreeMap<String, String>,
    #[serde(default)]
    subgraphs: Vec<serde::de::IgnoredAny>,
}

/// Reads a symbol.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Symbol, ConvertError> {
    let file: File = serde_json::from_slice(bytes)
        .map_err(|error| malformed("the symbol's JSON", error.to_string()))?;
    if file.nodes.len() > limits.nodes {
        return Err(ConvertError::TooLarge {
            place: "the symbol".into(),
            what: "nodes",
            found: file.nodes.len() as u64,
            limit: limits.nodes as u64,
        });
    }
    let version = file
        .attrs
        .get("mxnet_version")
        .and_then(|value| value.as_array()?.get(1)?.as_u64())
        .unwrap_or(0);
    let count = file.nodes.len();
    let mut nodes = Vec::with_capacity(count);
    for (index, node) in file.nodes.into_iter().enumerate() {
        nodes.push(node_of(node, index)?);
    }
    let mut heads = Vec::with_capacity(file.heads.len());
    for head in file.heads {
        let numbers: Option<Vec<u64>> = head.iter().map(serde_json::Value::as_u64).collect();
        let place = numbers.and_then(|numbers| place(&numbers, count));
        heads.push(place.ok_or_else(|| malformed("the heads", "they name no node"))?);
    }
    if heads.is_empty() {
        return Err(malformed("the heads", "expected outputs, found none"));
    }
    Ok(Symbol { nodes, heads, version })
}

fn node_of(node: FileNode, index: usize) -> Result<Node, ConvertError> {
    let mut attributes = Attributes::default();
    for (key, value) in node.attr.into_iter().chain(node.attrs).chain(node.param) {
        attributes.insert(key, value);
    }
    let inputs: Option<Vec<Place>> =
        node.inputs.iter().map(|numbers| place(numbers, index)).collect();
    let inputs = inputs.ok_or_else(|| {
        malformed(&format!("node '{}'", node.name), "its inputs are no nodes before it")
    })?;
    if !node.subgraphs.is_empty() {
        attributes.insert("subgraphs".into(), node.subgraphs.len().to_string());
    }
    Ok(Node { name: node.name, operator: node.op, attributes, inputs })
}

/// Node and output, and in newer files a version that is of no use.
fn place(numbers: &[u64], before: usize) -> Option<Place> {
    let node = usize::try_from(*numbers.first()?).ok().filter(|&node| node < before)?;
    let output = usize::try_from(numbers.get(1).copied().unwrap_or(0)).ok()?;
    (output < 1 << 16).then_some(Place { node, output })
}
