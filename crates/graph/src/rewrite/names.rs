//! Names that are not taken, and names that mean one thing only.

use std::collections::{HashMap, HashSet};

use crate::{AttributeValue, Graph, Model, Node};

/// All names of a model.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// How often a base of a name was asked for.
    counts: HashMap<String, usize>,
    /// Names of nodes that were written.
    nodes: HashSet<String>,
}

impl Names {
    pub(super) fn of(model: &Model) -> Names {
        let mut names = Names::default();
        names.add_graph(&model.graph);
        for node in model.nodes() {
            names.taken.insert(node.name.clone());
            names.taken.extend(node.outputs.iter().cloned());
            node.subgraphs().for_each(|graph| names.add_graph(graph));
        }
        names
    }

    /// Whether no node written since [`Names::forget_nodes`] has this name.
    pub(super) fn name_node(&mut self, name: &str) -> bool {
        self.nodes.insert(name.to_owned())
    }

    pub(super) fn forget_nodes(&mut self) {
        self.nodes.clear();
    }

    fn add_graph(&mut self, graph: &Graph) {
        let constants = graph.initializers.iter().map(|constant| &constant.name);
        let sparse = graph.sparse_initializers.iter().map(|sparse| &sparse.values.name);
        let values = graph.inputs.iter().chain(&graph.outputs).map(|value| &value.name);
        self.taken.extend(constants.chain(sparse).chain(values).cloned());
    }

    /// A name that is not taken, which begins like `base`.
    pub(super) fn fresh(&mut self, base: &str) -> String {
        let base = if base.is_empty() { "value" } else { base };
        let count = self.counts.entry(base.to_owned()).or_insert(0);
        loop {
            let name = if *count == 0 { base.to_owned() } else { format!("{base}_{}", *count) };
            *count += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// Renames what a graph inside a node defines under a name that is defined around it: passes know
/// values by their names.
pub(super) fn unshadow(graph: &mut Graph, names: &mut Names) {
    if graph.nodes.iter().any(|node| node.subgraphs().next().is_some()) {
        unshadow_inside(graph, &HashSet::new(), names);
    }
}

fn unshadow_inside(graph: &mut Graph, around: &HashSet<String>, names: &mut Names) {
    let mut visible = around.clone();
    visible.extend(defined(graph));
    for node in &mut graph.nodes {
        for inner in graphs_mut(node) {
            let doubled = defined(inner).into_iter().filter(|name| visible.contains(name));
            let renames: HashMap<String, String> =
                doubled.map(|name| (name.clone(), names.fresh(&name))).collect();
            if !renames.is_empty() {
                rename_definitions(inner, &renames);
                rename_uses(inner, &renames);
            }
            unshadow_inside(inner, &visible, names);
        }
    }
}

/// The names that a graph defines, those inside its nodes not counted.
fn defined(graph: &Graph) -> Vec<String> {
    let constants = graph.initializers.iter().map(|constant| &constant.name);
    let sparse = graph.sparse_initializers.iter().map(|sparse| &sparse.values.name);
    let inputs = graph.inputs.iter().map(|input| &input.name);
    let outputs = graph.nodes.iter().flat_map(|node| &node.outputs);
    let all = constants.chain(sparse).chain(inputs).chain(outputs);
    all.filter(|name| !name.is_empty()).cloned().collect()
}

/// The graphs inside a node.
pub(super) fn graphs_mut(node: &mut Node) -> impl Iterator<Item = &mut Graph> {
    node.attributes.iter_mut().flat_map(|attribute| match &mut attribute.value {
        AttributeValue::Graph(graph) => std::slice::from_mut(graph.as_mut()),
        AttributeValue::Graphs(graphs) => graphs.as_mut_slice(),
        _ => &mut [],
    })
}

fn rename(name: &mut String, renames: &HashMap<String, String>) {
    if let Some(new) = renames.get(name) {
        name.clone_from(new);
    }
}

fn rename_definitions(graph: &mut Graph, renames: &HashMap<String, String>) {
    let inputs = graph.inputs.iter_mut().map(|input| &mut input.name);
    let constants = graph.initializers.iter_mut().map(|constant| &mut constant.name);
    let sparse = graph.sparse_initializers.iter_mut().map(|sparse| &mut sparse.values.name);
    let outputs = graph.nodes.iter_mut().flat_map(|node| &mut node.outputs);
    for name in inputs.chain(constants).chain(sparse).chain(outputs) {
        rename(name, renames);
    }
}

/// Renames what a graph uses, graphs inside it included. No graph inside defines one of the names.
pub(super) fn rename_uses(graph: &mut Graph, renames: &HashMap<String, String>) {
    let described = graph.outputs.iter_mut().chain(&mut graph.value_info);
    described.for_each(|value| rename(&mut value.name, renames));
    for quantization in &mut graph.quantization {
        rename(&mut quantization.tensor, renames);
        quantization.parameters.iter_mut().for_each(|(_, name)| rename(name, renames));
    }
    for node in &mut graph.nodes {
        node.inputs.iter_mut().for_each(|name| rename(name, renames));
        graphs_mut(node).for_each(|inner| rename_uses(inner, renames));
    }
}
