//! One node in the place of several.

use std::collections::BTreeSet;

use super::super::net::{Net, NodeId, ValueId};
use super::pattern::{Found, Pattern};
use crate::{Constant, Node};

/// What stands in the place of what was found.
pub(super) struct Fused {
    node: Node,
    inputs: Vec<Option<Input>>,
}

enum Input {
    Value(ValueId),
    New(Constant),
}

impl Fused {
    /// A node of this operator, one of ONNX's own.
    pub(super) fn new(op_type: &str) -> Fused {
        Fused::of(Node::new(op_type, &[], &[]))
    }

    /// A node that knows its attributes and not yet its inputs.
    pub(super) fn of(node: Node) -> Fused {
        Fused { node, inputs: Vec::new() }
    }

    /// An operator that ONNX Runtime adds to ONNX.
    pub(super) fn microsoft(op_type: &str) -> Fused {
        Fused::of(Node::new(op_type, &[], &[]).in_domain(super::MICROSOFT))
    }

    pub(super) fn with(self, name: &str, value: impl Into<crate::AttributeValue>) -> Fused {
        Fused { node: self.node.with(name, value), ..self }
    }

    pub(super) fn input(self, value: ValueId) -> Fused {
        self.push(Some(Input::Value(value)))
    }

    pub(super) fn optional(self, value: Option<ValueId>) -> Fused {
        self.push(value.map(Input::Value))
    }

    pub(super) fn constant(self, constant: Constant) -> Fused {
        self.push(Some(Input::New(constant)))
    }

    fn push(mut self, input: Option<Input>) -> Fused {
        self.inputs.push(input);
        self
    }

    /// Lets this node give what `root` gives. `root` keeps its name, place and output.
    pub(super) fn put(self, net: &mut Net, root: NodeId) {
        let output = net.op(root).and_then(|op| op.output(0));
        let owner = output.map_or(String::new(), |value| net.values[value].name.clone());
        let Some(op) = net.op_mut(root) else { return };
        let before = std::mem::take(&mut op.inputs);
        op.node = Node { name: std::mem::take(&mut op.node.name), ..self.node };
        for (slot, input) in self.inputs.into_iter().enumerate() {
            let value = input.map(|input| match input {
                Input::Value(value) => value,
                Input::New(mut constant) => {
                    if constant.name.is_empty() {
                        constant.name = format!("{owner}/constant");
                    }
                    net.add_constant(constant)
                }
            });
            if value.is_some() {
                net.set_input(root, slot, value);
            }
        }
        for value in before.into_iter().flatten() {
            net.let_go(value);
        }
    }
}

/// Puts one node in the place of each match of a pattern for which `fused` gives one. A match whose
/// values are used elsewhere stays as it is.
pub(super) fn each(
    net: &mut Net,
    pattern: &Pattern,
    fused: impl Fn(&Net, &Found, ValueId) -> Option<Fused>,
) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        let Some(output) = net.op(id).and_then(|op| op.single_output()) else { continue };
        let ways = pattern.at(net, output).into_iter();
        let mut ways = ways.filter(|found| is_alone(net, &found.nodes, output));
        let chosen = ways.find_map(|found| Some((fused(net, &found, output)?, found.nodes)));
        if let Some((fused, nodes)) = chosen {
            fused.put(net, id);
            sweep(net, &nodes);
            changed = true;
        }
    }
    changed
}

/// Whether what these nodes compute is used by nodes of them only, but for `output`.
pub(super) fn is_alone(net: &Net, nodes: &BTreeSet<NodeId>, output: ValueId) -> bool {
    let given = nodes.iter().filter_map(|&node| net.op(node)).flat_map(|op| &op.outputs);
    given.flatten().filter(|&&value| value != output).all(|&value| {
        !net.values[value].is_pinned && net.users(value).iter().all(|user| nodes.contains(user))
    })
}

/// Removes those of some nodes whose outputs nothing uses any more.
pub(super) fn sweep(net: &mut Net, nodes: &BTreeSet<NodeId>) {
    loop {
        let unused = nodes.iter().copied().filter(|&node| {
            net.op(node).is_some_and(|op| !op.outputs.iter().flatten().any(|&v| net.is_used(v)))
        });
        let unused: Vec<NodeId> = unused.collect();
        if unused.is_empty() {
            return;
        }
        for node in unused {
            let inputs = net.op(node).map_or(Vec::new(), |op| op.inputs.clone());
            net.remove(node);
            for value in inputs.into_iter().flatten() {
                net.let_go(value);
            }
        }
    }
}
