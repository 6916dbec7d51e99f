//! Which variable has which value: what the graph's own way of reading its checkpoint says, and
//! where that says nothing, names.
//!
//! Every SavedModel has an operator that restores it: in TensorFlow 1 a group of `Assign`, each of
//! which takes an output of `RestoreV2`; in TensorFlow 2 a call of a function that does the same
//! with the handles it is given.

use std::collections::{BTreeMap, HashMap};

use super::bundle::Bundle;
use super::graph::{Graph, Node, Payload};
use super::inline::Library;
use super::proto::{AttrValue, NodeDef};
use super::weight::Weight;
use crate::{ConvertError, Format, Limits};

/// Keys of the checkpoint by the names of the nodes that stand for variables.
pub(super) struct Keys {
    restored: BTreeMap<String, String>,
    named: BTreeMap<String, String>,
}

/// How deep functions that restore may call each other.
const MAX_DEPTH: usize = 8;

impl Keys {
    pub(super) fn find(
        library: &Library<'_>,
        nodes: &[NodeDef],
        bundle: &Bundle,
        limits: &Limits,
    ) -> Result<Keys, ConvertError> {
        let mut search = Search { library, keys: BTreeMap::new(), budget: limits.nodes };
        search.collect(nodes, &HashMap::new(), MAX_DEPTH);
        Ok(Keys { restored: search.keys, named: bundle.keys_by_name(limits)? })
    }

    /// The key for the node of a variable.
    fn key<'a>(&'a self, node: &'a Node, bundle: &Bundle) -> Option<&'a str> {
        let shared = node.attrs.text("shared_name", &node.name);
        if let Some(key) = self.restored.get(&node.name) {
            return Some(key);
        }
        let named = [shared, &node.name].into_iter().find_map(|name| self.named.get(name));
        named
            .map(String::as_str)
            .or_else(|| [shared, &node.name].into_iter().find(|name| bundle.contains(name)))
    }
}

/// The search for what is restored.
struct Search<'l, 'a> {
    library: &'l Library<'a>,
    /// Keys by the names of variables.
    keys: BTreeMap<String, String>,
    /// Nodes that may still be looked through in functions.
    budget: usize,
}

impl Search<'_, '_> {
    /// Finds assignments of what comes from the checkpoint, in these nodes and in functions that
    /// they call. `handles` are the names of variables by the function's arguments.
    fn collect(&mut self, nodes: &[NodeDef], handles: &HashMap<&str, &str>, depth: usize) {
        let index: HashMap<&str, &NodeDef> =
            nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let handle = |text: &str| -> Option<String> {
            let name = origin(&index, text);
            let found = handles.get(name).copied();
            found.or_else(|| index.contains_key(name).then_some(name)).map(str::to_owned)
        };
        for node in nodes {
            match node.op.as_str() {
                "AssignVariableOp" | "Assign" => {
                    let [target, value, ..] = node.inputs.as_slice() else { continue };
                    if let (Some(name), Some(key)) = (handle(target), restored_key(&index, value)) {
                        self.keys.insert(name, key);
                    }
                }
                "PartitionedCall" | "StatefulPartitionedCall" if depth > 0 => {
                    let given: Vec<Option<String>> =
                        node.inputs.iter().map(|input| handle(input)).collect();
                    self.call(node, &given, depth);
                }
                _ => {}
            }
        }
    }

    fn call(&mut self, node: &NodeDef, given: &[Option<String>], depth: usize) {
        let callee = node.attrs.get("f").and_then(|value| value.function.as_ref());
        let Some(function) = callee.and_then(|callee| self.library.get(&callee.name)) else {
            return;
        };
        let Some(left) = self.budget.checked_sub(function.nodes.len()) else { return };
        self.budget = left;
        // Only functions that read the checkpoint matter; the others are many and large.
        if !function.nodes.iter().any(|node| node.op == "RestoreV2") {
            return;
        }
        let names = function.signature.iter().flat_map(|signature| &signature.inputs);
        let inner = names
            .zip(given)
            .filter_map(|(argument, given)| Some((argument.name.as_str(), given.as_deref()?)))
            .collect();
        self.collect(&function.nodes, &inner, depth - 1);
    }
}

/// The node (or argument) behind operators that pass a value on.
fn origin<'a>(index: &HashMap<&str, &'a NodeDef>, text: &'a str) -> &'a str {
    let mut name = text.split(':').next().unwrap_or(text);
    for _ in 0..MAX_DEPTH {
        match index.get(name) {
            Some(node) if matches!(node.op.as_str(), "Identity" | "DisableCopyOnRead") => {
                match node.inputs.first() {
                    Some(input) => name = input.split(':').next().unwrap_or(input),
                    None => return name,
                }
            }
            _ => return name,
        }
    }
    name
}

/// The key that a value was restored under.
fn restored_key(index: &HashMap<&str, &NodeDef>, text: &str) -> Option<String> {
    let mut text = text;
    for _ in 0..MAX_DEPTH {
        let node = index.get(text.split(':').next()?)?;
        match node.op.as_str() {
            "Identity" | "Cast" | "Reshape" => text = node.inputs.first()?,
            "RestoreV2" => {
                let last = text.split(':').skip(1).last().unwrap_or("0");
                let output: usize = last.parse().ok()?;
                let names = index.get(node.inputs.get(1)?.split(':').next()?)?;
                let names =
                    names.attrs.get("value").and_then(|value: &AttrValue| value.tensor.as_ref())?;
                let key = names.strings.get(output)?;
                return String::from_utf8(key.to_vec()).ok();
            }
            _ => return None,
        }
    }
    None
}

/// Puts the values of variables in the place of the nodes that stand for them or read them.
///
/// A variable that has no value stays as it is: whether that matters depends on who needs it.
pub(super) fn freeze(graph: &mut Graph, keys: &Keys, bundle: &Bundle) -> Result<(), ConvertError> {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let weight = match node.op.as_str() {
            "VarHandleOp" | "VariableV2" | "Variable" => value(node, keys, bundle)?,
            _ => None,
        };
        let node = &mut graph.nodes[index];
        if let Some(weight) = weight {
            node.payload = Payload::Weight(weight);
        }
        if let Payload::Bodies(bodies) = &mut node.payload {
            for body in bodies {
                freeze(body, keys, bundle)?;
            }
        }
    }
    Ok(())
}

fn value(node: &Node, keys: &Keys, bundle: &Bundle) -> Result<Option<Weight>, ConvertError> {
    let Some(key) = keys.key(node, bundle) else { return Ok(None) };
    let weight = bundle.weight(key)?;
    if let (Some(weight), Some(shape)) = (&weight, node.attrs.shape("shape"))
        && !shape.unknown_rank
    {
        let fits = shape.dims.len() == weight.dims.len()
            && shape
                .dims
                .iter()
                .zip(&weight.dims)
                .all(|(dim, &size)| dim.size < 0 || dim.size as u64 == size as u64);
        if !fits {
            let (format, place) = (Format::SavedModel.name(), format!("variable '{}'", node.name));
            let message = format!("the checkpoint has shape {:?} under '{key}'", weight.dims);
            return Err(ConvertError::Malformed { format, place, message });
        }
    }
    let name = node.attrs.text("shared_name", &node.name);
    Ok(weight.map(|weight| weight.named(if name.is_empty() { &node.name } else { name })))
}
