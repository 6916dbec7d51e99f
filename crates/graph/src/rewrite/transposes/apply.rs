//! Writes a graph in the states that were chosen for its nodes.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::net::{Net, NodeId, Source, ValueId};
use super::super::perm::Perm;
use super::super::shapes::Known;
use super::super::tensor::transposed;
use super::frames::{Frame, State};
use super::layout::{Layout, Layouts, States, join, layout, undo};
use crate::Node;

/// What is to be done.
pub(super) struct Plan {
    /// Nodes that change, in their order.
    moved: Vec<(NodeId, Rc<State>, Rc<dyn Frame>)>,
    /// Whatever takes a value, and the value and order that it takes.
    links: Vec<Link>,
    /// How values are given, where not as they are.
    given: HashMap<ValueId, Layout>,
    /// Values that are others in some order, as the graph has them.
    originals: HashMap<(ValueId, Layout), ValueId>,
}

struct Link {
    place: Place,
    value: ValueId,
    order: Layout,
}

#[derive(Clone, Copy)]
enum Place {
    Input(NodeId, usize),
    Captured(NodeId, usize),
    Output(usize),
}

impl Plan {
    pub(super) fn new(layouts: &Layouts<'_>, states: States) -> Plan {
        let mut plan = Plan {
            moved: Vec::new(),
            links: Vec::new(),
            given: HashMap::new(),
            originals: HashMap::new(),
        };
        plan.link_all(layouts, &states);
        let mut transposed: Vec<_> = layouts.transposed().collect();
        transposed.sort_unstable_by_key(|(value, _)| *value);
        for (value, (root, order)) in transposed {
            plan.originals.entry((*root, order.clone())).or_insert(value);
        }
        for (node, state) in states {
            if let Some(frame) = layouts.frame(node) {
                plan.moved.push((node, state, frame));
            }
        }
        plan.moved.sort_unstable_by_key(|(node, ..)| *node);
        plan
    }

    fn link_all(&mut self, layouts: &Layouts<'_>, states: &States) {
        let net = layouts.net;
        for node in net.node_ids() {
            let Some(op) = net.op(node).filter(|op| !layouts.is_transpose(op)) else { continue };
            let state = states.get(&node);
            for (slot, input) in op.inputs.iter().enumerate() {
                let Some(input) = *input else { continue };
                let own = state.and_then(|state| layout(state.input(slot)));
                self.link(layouts, Place::Input(node, slot), input, &own);
            }
            for (index, (_, value)) in op.captured.iter().enumerate() {
                self.link(layouts, Place::Captured(node, index), *value, &None);
            }
        }
        for (index, &output) in net.outputs.iter().enumerate() {
            self.link(layouts, Place::Output(index), output, &None);
        }
    }

    fn link(&mut self, layouts: &Layouts<'_>, place: Place, value: ValueId, own: &Layout) {
        let (value, path) = layouts.root(value);
        self.links.push(Link { place, value, order: join(&path, own) });
    }

    pub(super) fn apply(mut self, net: &mut Net) {
        let mut stored: HashMap<ValueId, ValueId> = HashMap::new();
        for (node, state, _) in &self.moved {
            let outputs = net.op(*node).map_or(Vec::new(), |op| op.outputs.clone());
            for (slot, output) in outputs.into_iter().enumerate() {
                if let (Some(output), Some(order)) = (output, state.output(slot)) {
                    let known = reordered(&net.values[output].known, order);
                    let name = format!("{}/transposed", net.values[output].name);
                    let new = net.renew_output(*node, slot, (&name, known));
                    // The name stays with the node.
                    net.swap_names(output, new);
                    stored.insert(output, new);
                    self.given.insert(output, Some(order.clone()));
                }
            }
        }
        for link in std::mem::take(&mut self.links) {
            let near = match link.place {
                Place::Input(node, _) | Place::Captured(node, _) => node,
                Place::Output(_) => NodeId::MAX,
            };
            let value = self.value_in(net, &stored, (link.value, &link.order), near);
            put(net, link.place, value);
        }
        for (node, state, frame) in &self.moved {
            frame.apply(net, *node, state);
        }
    }

    /// A value in some order: as it is given, or behind a transpose.
    fn value_in(
        &mut self,
        net: &mut Net,
        stored: &HashMap<ValueId, ValueId>,
        (value, order): (ValueId, &Layout),
        near: NodeId,
    ) -> ValueId {
        let given = self.given.get(&value).cloned().flatten();
        let source = stored.get(&value).copied().unwrap_or(value);
        if given == *order {
            return source;
        }
        let key = (value, order.clone());
        let Some(step) = join(&undo(&given), order) else { return source };
        let node = || Node::new("Transpose", &[], &[]).with("perm", step.ints().as_slice());
        match self.originals.get(&key) {
            Some(&original) => {
                self.renew(net, source, original, node(), near);
                original
            }
            // What was moved, as it was.
            None if order.is_none() => {
                net.revive(node(), &[source], value, near);
                self.originals.insert(key, value);
                value
            }
            None => {
                let made = made(net, source, &step, node(), near);
                self.originals.insert(key, made);
                made
            }
        }
    }

    /// Lets the node that gives `original` take `source`.
    fn renew(&self, net: &mut Net, source: ValueId, original: ValueId, node: Node, near: NodeId) {
        match net.producer(original) {
            Some((id, _)) if net.op(id).is_some_and(|op| op.is("Transpose")) => {
                if net.op(id).and_then(|op| op.input(0)) != Some(source) {
                    net.set_input(id, 0, Some(source));
                }
                if let Some(op) = net.op_mut(id) {
                    op.node.attributes = node.attributes;
                }
            }
            Some(_) => {}
            None if matches!(net.values[original].source, Source::Gone) => {
                net.revive(node, &[source], original, near);
            }
            None => {}
        }
    }
}

/// A value in another order: a constant, or what a transpose gives.
fn made(net: &mut Net, source: ValueId, step: &Perm, node: Node, near: NodeId) -> ValueId {
    if let Some(mut constant) = net.constant(source).and_then(|constant| transposed(constant, step))
    {
        constant.name.clone_from(&net.values[source].name);
        return net.add_constant(constant);
    }
    let known = reordered(&net.values[source].known, step);
    let name = format!("{}/transposed", net.values[source].name);
    net.add_node(node, &[source], (&name, known), near)
}

fn reordered(known: &Known, order: &Perm) -> Known {
    let dims = known.dims.as_ref().filter(|dims| dims.len() == order.rank());
    Known {
        element_type: known.element_type,
        rank: known.rank,
        dims: dims.map(|dims| order.apply(dims)),
        integers: None,
    }
}

fn put(net: &mut Net, place: Place, value: ValueId) {
    match place {
        Place::Input(node, slot) => {
            if net.op(node).and_then(|op| op.input(slot)) != Some(value) {
                net.set_input(node, slot, Some(value));
            }
        }
        Place::Captured(node, index) => {
            if let Some(captured) = net.op_mut(node).and_then(|op| op.captured.get_mut(index)) {
                captured.1 = value;
                net.values[value].users.push(node);
            }
        }
        Place::Output(index) => {
            net.outputs[index] = value;
            net.values[value].is_pinned = true;
        }
    }
}
