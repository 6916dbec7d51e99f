//! The graph to work with: functions are inlined, names resolved, each node comes after those whose
//! values it takes.

use super::attrs::Attrs;
use super::weight::Weight;

/// A value: which output of which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) node: usize,
    pub(super) output: usize,
}

/// An operation.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its name with those of the functions around it.
    pub(super) name: String,
    pub(super) op: String,
    pub(super) inputs: Vec<Port>,
    pub(super) attrs: Attrs,
    pub(super) payload: Payload,
}

/// What a node has beside attributes.
#[derive(Clone, Debug, Default)]
pub(super) enum Payload {
    #[default]
    None,
    /// A constant, or the value of a variable.
    Weight(Weight),
    /// The input of this number, of the model or of a body.
    Input(usize),
    /// What a node of control flow runs: the branches of `If` and `Case`, or the condition and the
    /// body of `While`.
    Bodies(Vec<Graph>),
}

/// Nodes in order, and what they are there for.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) outputs: Vec<Port>,
    /// How many inputs it has; those are nodes with [`Payload::Input`] where they are used.
    pub(super) inputs: usize,
    /// Changes of variables that are left out.
    pub(super) assignments: usize,
}

impl Graph {
    /// The value behind operators that pass it on.
    pub(super) fn origin(&self, mut port: Port) -> Port {
        // A node comes after its inputs, so this ends.
        while let Some(node) = self.nodes.get(port.node) {
            match (passes_on(&node.op), node.inputs.get(port.output)) {
                (true, Some(&input)) => port = input,
                _ => break,
            }
        }
        port
    }

    /// The node of an input, where it is used.
    pub(super) fn input(&self, index: usize) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| matches!(node.payload, Payload::Input(found) if found == index))
    }

    /// Whether the output of this number gives back the input of the same number.
    pub(super) fn is_invariant(&self, index: usize) -> bool {
        let Some(&port) = self.outputs.get(index) else { return false };
        let origin = self.origin(port);
        let node = self.nodes.get(origin.node);
        node.is_some_and(|node| matches!(node.payload, Payload::Input(found) if found == index))
    }

    /// Leaves out the nodes that no output needs.
    pub(super) fn pruned(mut self) -> Graph {
        let mut needed = vec![false; self.nodes.len()];
        for port in &self.outputs {
            if let Some(flag) = needed.get_mut(port.node) {
                *flag = true;
            }
        }
        for index in (0..self.nodes.len()).rev() {
            if needed[index] {
                for input in &self.nodes[index].inputs {
                    needed[input.node] = true;
                }
            }
        }
        let mut renumbered = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (index, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if needed[index] {
                renumbered[index] = nodes.len();
                for input in &mut node.inputs {
                    input.node = renumbered[input.node];
                }
                nodes.push(node);
            }
        }
        let moved = |port: Port| Port { node: renumbered[port.node], ..port };
        Graph {
            nodes,
            outputs: std::mem::take(&mut self.outputs).into_iter().map(moved).collect(),
            ..self
        }
    }
}

/// Operators that give their inputs as they are.
pub(super) fn passes_on(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "IdentityN"
            | "StopGradient"
            | "PreventGradient"
            | "Snapshot"
            | "CheckNumerics"
            | "DisableCopyOnRead"
            | "EnsureShape"
            | "LoopCond"
            | "_EagerConst"
    )
}
