//! Inputs and outputs as they were asked for: the batch of a fixed size, images with their channels
//! last.

use modelyard_graph::{Model, Node, Value, ValueType};
use modelyard_tensor::Dim;

use super::ExportOptions;
use crate::ConvertError;

/// The same model with the inputs and outputs that were asked for.
pub(super) fn asked_for(
    mut model: Model,
    options: &ExportOptions,
    notes: &mut Vec<String>,
) -> Result<Model, ConvertError> {
    unlist_weights(&mut model);
    if let Some(batch) = options.batch {
        fix_batch(&mut model, batch);
    }
    if options.channels_last {
        let moved = channels_last(&mut model);
        if !moved.is_empty() {
            notes.push(format!("with the channels last: {}", moved.join(", ")));
        }
    }
    Ok(model)
}

/// A weight that is listed as an input is none.
fn unlist_weights(model: &mut Model) {
    let graph = &mut model.graph;
    let weights: std::collections::HashSet<&str> =
        graph.initializers.iter().map(|weight| weight.name.as_str()).collect();
    graph.inputs.retain(|input| !weights.contains(input.name.as_str()));
    model.ir_version = model.ir_version.max(4);
}

/// Gives the open first dimension of inputs this size, and with it all that is of the same symbol.
fn fix_batch(model: &mut Model, batch: usize) {
    let mut symbols = Vec::new();
    for input in &mut model.graph.inputs {
        let ValueType::Tensor { dims: Some(dims), .. } = &mut input.value_type else { continue };
        let Some(first) = dims.first_mut() else { continue };
        if let Dim::Symbol(name) = first {
            symbols.push(name.clone());
        }
        if !matches!(first, Dim::Fixed(_)) {
            *first = Dim::Fixed(batch);
        }
    }
    let graph = &mut model.graph;
    let values = graph.inputs.iter_mut().chain(&mut graph.outputs).chain(&mut graph.value_info);
    for value in values {
        let ValueType::Tensor { dims: Some(dims), .. } = &mut value.value_type else { continue };
        let is_batch =
            |dim: &&mut Dim| matches!(&**dim, Dim::Symbol(name) if symbols.contains(name));
        dims.iter_mut().filter(is_batch).for_each(|dim| *dim = Dim::Fixed(batch));
    }
    model.graph.value_info.clear();
    model.state_types();
}

/// Puts transposes behind inputs and before outputs that are images; gives their names.
fn channels_last(model: &mut Model) -> Vec<String> {
    let types = model.types();
    let graph = &mut model.graph;
    let mut moved = Vec::new();
    let mut nodes = std::mem::take(&mut graph.nodes);
    let mut first = Vec::new();
    let mut last = Vec::new();
    let mut names = Names::of(graph, &nodes);
    for input in &mut graph.inputs {
        let Some(dims) = image(input) else { continue };
        dims[1..].rotate_left(1);
        let rank = dims.len();
        let inner = names.fresh(&format!("{}/channels_first", input.name));
        rename(&mut nodes, &input.name, &inner);
        graph
            .outputs
            .iter()
            .filter(|output| output.name == input.name)
            .for_each(|output| first.push(Node::new("Identity", &[&inner], &[&output.name])));
        first.push(transpose(&input.name, &inner, &to_first(rank)));
        moved.push(format!("'{}'", input.name));
    }
    for output in &mut graph.outputs {
        if let Some(found) = types.get(&output.name) {
            output.value_type = found.clone();
        }
        let Some(dims) = image(output) else { continue };
        dims[1..].rotate_left(1);
        let rank = dims.len();
        let inner = names.fresh(&format!("{}/channels_first", output.name));
        rename(&mut nodes, &output.name, &inner);
        rename(&mut first, &output.name, &inner);
        last.push(transpose(&inner, &output.name, &to_last(rank)));
        moved.push(format!("'{}'", output.name));
    }
    graph.nodes = first.into_iter().chain(nodes).chain(last).collect();
    graph.value_info.clear();
    moved
}

/// The dimensions of an image.
fn image(value: &mut Value) -> Option<&mut Vec<Dim>> {
    match &mut value.value_type {
        ValueType::Tensor { dims: Some(dims), .. } if (3..=5).contains(&dims.len()) => Some(dims),
        _ => None,
    }
}

/// The order of axes that puts channels first.
pub(super) fn to_first(rank: usize) -> Vec<i64> {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order[1..].rotate_right(1);
    order
}

/// The order of axes that puts channels last.
pub(super) fn to_last(rank: usize) -> Vec<i64> {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order[1..].rotate_left(1);
    order
}

fn transpose(input: &str, output: &str, order: &[i64]) -> Node {
    Node::new("Transpose", &[input], &[output]).with("perm", order)
}

/// Calls a value otherwise, wherever nodes name it.
fn rename(nodes: &mut [Node], old: &str, new: &str) {
    for node in nodes {
        let names = node.inputs.iter_mut().chain(&mut node.outputs);
        names.filter(|name| *name == old).for_each(|name| *name = new.to_owned());
        node.subgraphs_mut().for_each(|graph| rename(&mut graph.nodes, old, new));
    }
}

/// Names that are taken.
struct Names(std::collections::HashSet<String>);

impl Names {
    fn of(graph: &modelyard_graph::Graph, nodes: &[Node]) -> Names {
        let constants = graph.initializers.iter().map(|constant| constant.name.clone());
        let mut names: std::collections::HashSet<String> = constants.collect();
        names.extend(graph.inputs.iter().map(|input| input.name.clone()));
        names
            .extend(nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.outputs)).cloned());
        Names(names)
    }

    fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut count = 1;
        while !self.0.insert(name.clone()) {
            name = format!("{base}_{count}");
            count += 1;
        }
        name
    }
}
