//! Computes once what several nodes compute, and keeps once what several constants hold.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Options;
use super::net::{Net, NodeId, Op, Source, ValueId};
use crate::{Constant, ConstantData};

/// Bytes of a constant that are looked at to find others like it.
const SAMPLE: usize = 256;

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let constants = merge_constants(net);
    let nodes = merge_nodes(net);
    constants || nodes
}

fn merge_constants(net: &mut Net) -> bool {
    let mut alike: HashMap<u64, Vec<ValueId>> = HashMap::new();
    let mut pairs = Vec::new();
    for (id, value) in net.values.iter().enumerate() {
        let Source::Constant(constant) = &value.source else { continue };
        let Some(key) = key_of_constant(constant) else { continue };
        let others = alike.entry(key).or_default();
        let same = |other: &&ValueId| match &net.values[**other].source {
            Source::Constant(other) => {
                other.element_type == constant.element_type
                    && other.dims == constant.dims
                    && other.data == constant.data
            }
            _ => false,
        };
        match others.iter().find(same) {
            Some(&first) if !value.is_pinned => pairs.push((id, first)),
            Some(_) => {}
            None => others.push(id),
        }
    }
    for &(double, first) in &pairs {
        net.replace(double, first);
        net.values[double].source = Source::Gone;
    }
    !pairs.is_empty()
}

/// The same for constants that are the same.
fn key_of_constant(constant: &Constant) -> Option<u64> {
    let ConstantData::Raw(bytes) = &constant.data else { return None };
    let mut hasher = DefaultHasher::new();
    (constant.element_type, &constant.dims, bytes.len()).hash(&mut hasher);
    let middle = bytes.len() / 2;
    for start in [0, middle, bytes.len().saturating_sub(SAMPLE)] {
        bytes[start..bytes.len().min(start + SAMPLE)].hash(&mut hasher);
    }
    Some(hasher.finish())
}

fn merge_nodes(net: &mut Net) -> bool {
    let mut alike: HashMap<u64, Vec<NodeId>> = HashMap::new();
    let mut changed = false;
    for id in net.node_ids() {
        let Some(op) = net.op(id).filter(|op| is_repeatable(op)) else { continue };
        let others = alike.entry(key_of_node(op)).or_default();
        let same = others.iter().copied().find(|&other| is_same(net, other, id));
        match same {
            Some(first) if !both_are_outputs(net, first, id) => {
                merge(net, first, id);
                changed = true;
            }
            Some(_) => {}
            None => others.push(id),
        }
    }
    changed
}

/// Whether it gives the same whenever it is given the same.
fn is_repeatable(op: &Op) -> bool {
    let is_random = op.node.op_type.starts_with("Random")
        || ["Bernoulli", "Multinomial", "Dropout"].contains(&op.node.op_type.as_str());
    op.standard().is_some() && !is_random && op.node.subgraphs().next().is_none()
}

fn key_of_node(op: &Op) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&op.node.op_type, &op.inputs, op.node.attributes.len()).hash(&mut hasher);
    hasher.finish()
}

fn is_same(net: &Net, one: NodeId, two: NodeId) -> bool {
    let (Some(one), Some(two)) = (net.op(one), net.op(two)) else { return false };
    let given = |op: &Op| op.outputs.iter().map(Option::is_some).collect::<Vec<_>>();
    one.node.op_type == two.node.op_type
        && one.inputs == two.inputs
        && one.node.attributes == two.node.attributes
        && given(one) == given(two)
}

/// Each output of the graph needs a node of its own.
fn both_are_outputs(net: &Net, one: NodeId, two: NodeId) -> bool {
    let has_output = |node: NodeId| {
        let outputs = net.op(node).into_iter().flat_map(|op| op.outputs.iter().flatten());
        outputs.into_iter().any(|&value| net.values[value].is_pinned)
    };
    has_output(one) && has_output(two)
}

fn merge(net: &mut Net, first: NodeId, double: NodeId) {
    let outputs = |net: &Net, node| net.op(node).map_or(Vec::new(), |op| op.outputs.clone());
    let pairs = outputs(net, double).into_iter().zip(outputs(net, first));
    for (double, first) in pairs.collect::<Vec<_>>() {
        if let (Some(double), Some(first)) = (double, first) {
            net.replace(double, first);
        }
    }
    net.remove(double);
}
