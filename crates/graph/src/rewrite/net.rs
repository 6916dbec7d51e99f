//! The graph as passes work on it: values known by number, with where they come from and who uses
//! them.
//!
//! A pass removes nodes, adds them at any place, and lets one value stand for another. Order,
//! names of outputs and what was left over are put right when the graph is written again
//! (`export`).

use super::names::Names;
use super::shapes::{Known, Size};
use crate::{Constant, ElementType, Graph, Node, ValueType};

/// A value, in its [`Net`].
pub(super) type ValueId = usize;
/// A node, in its [`Net`].
pub(super) type NodeId = usize;

/// One graph of a model.
pub(super) struct Net {
    pub(super) values: Vec<NetValue>,
    pub(super) nodes: Vec<Option<Op>>,
    /// In the order of the graph's outputs.
    pub(super) outputs: Vec<ValueId>,
    /// How tensors are quantized: tensor, and the others by role.
    pub(super) quantization: Vec<(ValueId, Vec<(String, ValueId)>)>,
    /// The rest of the graph.
    pub(super) shell: Graph,
    pub(super) names: Names,
    /// Version of ONNX's own operators.
    pub(super) opset: i64,
}

pub(super) struct NetValue {
    pub(super) name: String,
    pub(super) source: Source,
    /// Nodes that use or used it, some perhaps twice. See [`Net::users`].
    pub(super) users: Vec<NodeId>,
    /// Used from outside of the nodes: an output, or part of how a tensor is quantized.
    pub(super) is_pinned: bool,
    pub(super) known: Known,
    /// What the file says of it, if it is a node's output.
    pub(super) declared: Option<ValueType>,
}

/// Where a value comes from.
pub(super) enum Source {
    /// This output of a node.
    Node(NodeId, usize),
    /// It is in the graph.
    Constant(Constant),
    /// An input (with a default or not), a sparse initializer.
    Given,
    /// The graph around this one; if it is a small constant, that.
    Outer(Option<Constant>),
    /// Nowhere: its node was removed.
    Gone,
}

/// A node. The names in `node` are empty: `inputs` and `outputs` stand for them.
pub(super) struct Op {
    pub(super) node: Node,
    pub(super) inputs: Vec<Option<ValueId>>,
    pub(super) outputs: Vec<Option<ValueId>>,
    /// Values that the graphs inside it use, by the names they have there.
    pub(super) captured: Vec<(String, ValueId)>,
    /// Where it is in the order of nodes, as far as its inputs allow.
    pub(super) position: usize,
}

impl Op {
    pub(super) fn is(&self, op_type: &str) -> bool {
        self.node.is(op_type)
    }

    /// The operator, if it is one of ONNX's own.
    pub(super) fn standard(&self) -> Option<&str> {
        self.node.domain.is_empty().then_some(self.node.op_type.as_str())
    }

    pub(super) fn input(&self, slot: usize) -> Option<ValueId> {
        self.inputs.get(slot).copied().flatten()
    }

    pub(super) fn output(&self, slot: usize) -> Option<ValueId> {
        self.outputs.get(slot).copied().flatten()
    }

    /// The only output, if there is but one.
    pub(super) fn single_output(&self) -> Option<ValueId> {
        let mut outputs = self.outputs.iter().flatten();
        let first = outputs.next().copied()?;
        outputs.next().is_none().then_some(first)
    }

    fn uses(&self, value: ValueId) -> bool {
        self.inputs.contains(&Some(value)) || self.captured.iter().any(|(_, id)| *id == value)
    }
}

impl Net {
    pub(super) fn op(&self, node: NodeId) -> Option<&Op> {
        self.nodes.get(node)?.as_ref()
    }

    pub(super) fn op_mut(&mut self, node: NodeId) -> Option<&mut Op> {
        self.nodes.get_mut(node)?.as_mut()
    }

    /// Numbers of the nodes that are there, in their order as far as that is kept.
    pub(super) fn node_ids(&self) -> Vec<NodeId> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].is_some()).collect()
    }

    pub(super) fn producer(&self, value: ValueId) -> Option<(NodeId, usize)> {
        match self.values[value].source {
            Source::Node(node, slot) => Some((node, slot)),
            _ => None,
        }
    }

    /// The node that gives `value`.
    pub(super) fn producer_op(&self, value: ValueId) -> Option<(NodeId, &Op)> {
        let (node, _) = self.producer(value)?;
        Some((node, self.op(node)?))
    }

    /// The constant that `value` is.
    pub(super) fn constant(&self, value: ValueId) -> Option<&Constant> {
        match &self.values[value].source {
            Source::Constant(constant) | Source::Outer(Some(constant)) => Some(constant),
            _ => None,
        }
    }

    /// The constant that an input of a node is.
    pub(super) fn constant_input(&self, op: &Op, slot: usize) -> Option<&Constant> {
        self.constant(op.input(slot)?)
    }

    pub(super) fn dims(&self, value: ValueId) -> Option<&[Size]> {
        self.values[value].known.dims.as_deref()
    }

    pub(super) fn rank(&self, value: ValueId) -> Option<usize> {
        self.values[value].known.rank
    }

    pub(super) fn element_type(&self, value: ValueId) -> Option<ElementType> {
        self.values[value].known.element_type
    }

    /// The nodes that use `value`, each once.
    pub(super) fn users(&self, value: ValueId) -> Vec<NodeId> {
        let mut users = self.values[value].users.clone();
        users.sort_unstable();
        users.dedup();
        users.retain(|&node| self.op(node).is_some_and(|op| op.uses(value)));
        users
    }

    /// Whether anything uses `value`.
    pub(super) fn is_used(&self, value: ValueId) -> bool {
        let data = &self.values[value];
        data.is_pinned
            || data.users.iter().any(|&node| self.op(node).is_some_and(|op| op.uses(value)))
    }

    /// The only node that uses `value`; `None` when there are others, or it is an output.
    pub(super) fn only_user(&self, value: ValueId) -> Option<NodeId> {
        match self.users(value)[..] {
            [node] if !self.values[value].is_pinned => Some(node),
            _ => None,
        }
    }

    /// Lets `new` stand wherever `old` stands.
    pub(super) fn replace(&mut self, old: ValueId, new: ValueId) {
        if old == new {
            return;
        }
        for node in std::mem::take(&mut self.values[old].users) {
            let Some(op) = self.op_mut(node) else { continue };
            let inputs = op.inputs.iter_mut().flatten();
            let captured = op.captured.iter_mut().map(|(_, id)| id);
            inputs.chain(captured).filter(|id| **id == old).for_each(|id| *id = new);
            self.values[new].users.push(node);
        }
        if std::mem::take(&mut self.values[old].is_pinned) {
            self.values[new].is_pinned = true;
            self.outputs.iter_mut().filter(|id| **id == old).for_each(|id| *id = new);
            self.quantization.retain(|(tensor, _)| *tensor != old);
            let others = self.quantization.iter_mut().flat_map(|(_, others)| others);
            others.filter(|(_, id)| *id == old).for_each(|(_, id)| *id = new);
        }
    }

    pub(super) fn set_input(&mut self, node: NodeId, slot: usize, value: Option<ValueId>) {
        let Some(op) = self.op_mut(node) else { return };
        if op.inputs.len() <= slot {
            op.inputs.resize(slot + 1, None);
        }
        op.inputs[slot] = value;
        while op.inputs.last() == Some(&None) {
            op.inputs.pop();
        }
        if let Some(value) = value {
            self.values[value].users.push(node);
        }
    }

    /// Adds a value without source, named like `base`.
    fn add_value(&mut self, base: &str, source: Source, known: Known) -> ValueId {
        let name = self.names.fresh(base);
        let users = Vec::new();
        let value = NetValue { name, source, users, is_pinned: false, known, declared: None };
        self.values.push(value);
        self.values.len() - 1
    }

    /// Adds a constant, named like the name that it has.
    pub(super) fn add_constant(&mut self, constant: Constant) -> ValueId {
        let known = known_of(&constant);
        let base = constant.name.clone();
        self.add_value(&base, Source::Constant(constant), known)
    }

    /// Adds a list of integers.
    pub(super) fn add_integers(&mut self, base: &str, values: &[i64]) -> ValueId {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add_constant(Constant::raw(base, ElementType::Int64, &[values.len()], bytes))
    }

    /// Adds a node with one output named like `base`, which stands where `near` stands as far as
    /// its inputs allow.
    pub(super) fn add_node(
        &mut self,
        node: Node,
        inputs: &[ValueId],
        (base, known): (&str, Known),
        near: NodeId,
    ) -> ValueId {
        let id = self.nodes.len();
        let output = self.add_value(base, Source::Node(id, 0), known);
        let position = self.op(near).map_or(usize::MAX, |op| op.position);
        for &input in inputs {
            self.values[input].users.push(id);
        }
        self.nodes.push(Some(Op {
            node: Node { inputs: Vec::new(), outputs: Vec::new(), name: String::new(), ..node },
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
            captured: Vec::new(),
            position,
        }));
        output
    }

    /// Adds a node that gives `output`, a value that no node gives any more.
    pub(super) fn revive(&mut self, node: Node, inputs: &[ValueId], output: ValueId, near: NodeId) {
        let placeholder = self.add_node(node, inputs, ("value", Known::default()), near);
        if let Some((id, slot)) = self.producer(placeholder) {
            if let Some(given) = self.op_mut(id).and_then(|op| op.outputs.get_mut(slot)) {
                *given = Some(output);
            }
            self.values[output].source = Source::Node(id, slot);
            self.values[placeholder].source = Source::Gone;
        }
    }

    /// Lets go of a constant that nothing uses any more.
    pub(super) fn let_go(&mut self, value: ValueId) {
        if !matches!(self.values[value].source, Source::Constant(_)) {
            return;
        }
        // Those that are gone are forgotten, or each call would look at them again.
        while let Some(&node) = self.values[value].users.last()
            && !self.op(node).is_some_and(|op| op.uses(value))
        {
            self.values[value].users.pop();
        }
        if !self.is_used(value) {
            self.values[value].source = Source::Gone;
        }
    }

    /// The constant that `value` is, for `node` to use another in its place: not a copy where nothing
    /// else uses it.
    pub(super) fn give_away(&mut self, value: ValueId, node: NodeId) -> Option<Constant> {
        let slots = self.op(node)?.inputs.iter().filter(|input| **input == Some(value)).count();
        if slots != 1 || self.only_user(value) != Some(node) {
            return self.constant(value).cloned();
        }
        match std::mem::replace(&mut self.values[value].source, Source::Gone) {
            Source::Constant(constant) => Some(constant),
            other => {
                self.values[value].source = other;
                self.constant(value).cloned()
            }
        }
    }

    /// Gives output `slot` of a node a new value, named like `base`; nothing uses it yet.
    pub(super) fn renew_output(
        &mut self,
        node: NodeId,
        slot: usize,
        (base, known): (&str, Known),
    ) -> ValueId {
        let value = self.add_value(base, Source::Node(node, slot), known);
        if let Some(output) = self.op_mut(node).and_then(|op| op.outputs.get_mut(slot))
            && let Some(old) = output.replace(value)
        {
            self.values[old].source = Source::Gone;
        }
        value
    }

    pub(super) fn swap_names(&mut self, one: ValueId, two: ValueId) {
        let name = std::mem::take(&mut self.values[one].name);
        self.values[one].name = std::mem::replace(&mut self.values[two].name, name);
    }

    /// Makes a constant of a value that a node gave.
    pub(super) fn fix(&mut self, value: ValueId, constant: Constant) {
        if let Some((node, slot)) = self.producer(value)
            && let Some(output) = self.op_mut(node).and_then(|op| op.outputs.get_mut(slot))
        {
            *output = None;
        }
        self.values[value].known = known_of(&constant);
        self.values[value].declared = None;
        self.values[value].source = Source::Constant(constant);
    }

    /// Removes a node. Nothing may use its outputs.
    pub(super) fn remove(&mut self, node: NodeId) {
        let Some(op) = self.nodes.get_mut(node).and_then(Option::take) else { return };
        for output in op.outputs.into_iter().flatten() {
            self.values[output].source = Source::Gone;
        }
    }
}

pub(super) fn known_of(constant: &Constant) -> Known {
    Known {
        element_type: Some(constant.element_type),
        rank: Some(constant.dims.len()),
        dims: Some(constant.dims.iter().map(|&dim| Size::of(dim)).collect()),
        integers: None,
    }
}
