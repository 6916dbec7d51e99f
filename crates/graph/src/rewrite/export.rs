//! From a [`Net`] back to a graph.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::names::{Names, graphs_mut, rename_uses};
use super::net::{Net, NodeId, Op, Source, ValueId};
use super::shapes::Known;
use crate::{Graph, Node, Quantization, Value};

/// Puts a graph together: outputs have their names again, each node is after those whose values it
/// takes.
pub(super) fn export(mut net: Net) -> (Graph, Names) {
    name_outputs(&mut net);
    let order = order(&net);
    let mut nodes = Vec::with_capacity(order.len());
    let mut declared = Vec::new();
    for id in order {
        if let Some(op) = net.nodes[id].take() {
            for value in op.outputs.iter().flatten() {
                let data = &mut net.values[*value];
                if let Some(value_type) = data.declared.take() {
                    declared.push(Value { name: data.name.clone(), value_type });
                }
            }
            nodes.push(node(op, &mut net));
        }
    }
    let mut graph = std::mem::take(&mut net.shell);
    graph.nodes = nodes;
    graph.value_info = declared;
    graph.quantization = quantization(&net);
    for value in net.values {
        if let Source::Constant(mut constant) = value.source {
            constant.name = value.name;
            graph.initializers.push(constant);
        }
    }
    (graph, net.names)
}

/// Gives the values that are outputs the names of these; where a value cannot have a name, an
/// Identity gives it.
fn name_outputs(net: &mut Net) {
    let wanted: Vec<String> = net.shell.outputs.iter().map(|output| output.name.clone()).collect();
    let holders: HashMap<&str, ValueId> = {
        let names: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        let values = net.values.iter().enumerate();
        let named = values.filter(|(_, value)| names.contains(&*value.name));
        named.map(|(id, value)| (&*value.name, id)).collect()
    };
    let holders: HashMap<String, ValueId> =
        holders.into_iter().map(|(name, id)| (name.to_owned(), id)).collect();
    let mut claimed: HashSet<ValueId> = HashSet::new();
    claimed.extend(
        wanted
            .iter()
            .zip(&net.outputs)
            .filter_map(|(name, &value)| (net.values[value].name == *name).then_some(value)),
    );
    for (index, name) in wanted.into_iter().enumerate() {
        let value = net.outputs[index];
        if net.values[value].name == name {
            continue;
        }
        // Whatever had the name is no output any more.
        if let Some(&holder) = holders.get(&name)
            && net.values[holder].name == name
        {
            net.values[holder].name = net.names.fresh(&name);
        }
        let is_free = net.producer(value).is_some() && claimed.insert(value);
        let named = if is_free { value } else { identity(net, value) };
        net.values[named].name = name;
        net.outputs[index] = named;
    }
}

fn identity(net: &mut Net, value: ValueId) -> ValueId {
    let known = Known::clone(&net.values[value].known);
    net.add_node(Node::new("Identity", &[], &[]), &[value], ("output", known), NodeId::MAX)
}

/// The nodes, each after those whose values it takes, otherwise as they were.
fn order(net: &Net) -> Vec<NodeId> {
    let mut waiting = vec![0usize; net.nodes.len()];
    let mut followers: Vec<Vec<NodeId>> = vec![Vec::new(); net.nodes.len()];
    let mut ready = BinaryHeap::new();
    for (id, op) in net.nodes.iter().enumerate() {
        let Some(op) = op else { continue };
        let captured = op.captured.iter().map(|(_, value)| *value);
        let used = op.inputs.iter().flatten().copied().chain(captured);
        for (producer, _) in used.filter_map(|value| net.producer(value)) {
            waiting[id] += 1;
            followers[producer].push(id);
        }
        if waiting[id] == 0 {
            ready.push(Reverse((op.position, id)));
        }
    }
    let mut order = Vec::with_capacity(net.nodes.len());
    while let Some(Reverse((_, id))) = ready.pop() {
        order.push(id);
        for &follower in &followers[id] {
            waiting[follower] -= 1;
            if waiting[follower] == 0
                && let Some(op) = net.op(follower)
            {
                ready.push(Reverse((op.position, follower)));
            }
        }
    }
    order
}

fn node(op: Op, net: &mut Net) -> Node {
    let name_of = |value: &Option<ValueId>| {
        value.map_or(String::new(), |value| net.values[value].name.clone())
    };
    let mut node = op.node;
    node.inputs = op.inputs.iter().map(name_of).collect();
    node.outputs = op.outputs.iter().map(name_of).collect();
    let renames: HashMap<String, String> = op
        .captured
        .into_iter()
        .filter(|(name, value)| net.values[*value].name != *name)
        .map(|(name, value)| (name, net.values[value].name.clone()))
        .collect();
    if !renames.is_empty() {
        graphs_mut(&mut node).for_each(|graph| rename_uses(graph, &renames));
    }
    if node.name.is_empty() || !net.names.name_node(&node.name) {
        let first = node.outputs.iter().find(|output| !output.is_empty());
        let base = first.map_or_else(|| node.op_type.clone(), |output| format!("{output}/node"));
        node.name = net.names.fresh(&base);
        net.names.name_node(&node.name);
    }
    node
}

fn quantization(net: &Net) -> Vec<Quantization> {
    let exists = |value: ValueId| !matches!(net.values[value].source, Source::Gone);
    let name = |value: ValueId| net.values[value].name.clone();
    let kept = net.quantization.iter().filter(|(tensor, parameters)| {
        exists(*tensor) && parameters.iter().all(|(_, value)| exists(*value))
    });
    kept.map(|(tensor, parameters)| Quantization {
        tensor: name(*tensor),
        parameters: parameters.iter().map(|(role, value)| (role.clone(), name(*value))).collect(),
    })
    .collect()
}
