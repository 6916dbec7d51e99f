//! How tensors are stored, and who wants them how.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::super::fold::order;
use super::super::net::{Net, NodeId, Op, ValueId};
use super::super::perm::Perm;
use super::frames::{Frame, State, frame};
use crate::Constant;

/// An order of axes that a tensor is stored in; `None` as it is.
pub(super) type Layout = Option<Perm>;

pub(super) fn layout(perm: Option<&Perm>) -> Layout {
    perm.filter(|perm| !perm.is_identity()).cloned()
}

/// One order after the other.
pub(super) fn join(first: &Layout, second: &Layout) -> Layout {
    match (first, second) {
        (None, other) | (other, None) => other.clone(),
        (Some(first), Some(second)) if first.rank() == second.rank() => {
            layout(Some(&first.then(second)))
        }
        // Of a graph that is not sound.
        (Some(first), Some(_)) => Some(first.clone()),
    }
}

pub(super) fn undo(order: &Layout) -> Layout {
    order.as_ref().map(Perm::inverse)
}

/// Someone who takes a value, behind transposes.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) user: User,
    /// The transposes on the way, joined.
    pub(super) path: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// An input of a node.
    Input(NodeId, usize),
    /// Someone who takes it as it is: an output of the graph, a graph inside a node.
    Fixed,
}

/// States of nodes that are not as they were.
pub(super) type States = HashMap<NodeId, Rc<State>>;

/// What it costs that there is a transpose: more than the elements of any.
pub(super) const NODE: u64 = 1 << 40;

/// A graph in which transposes are no nodes but ways from a value to those who take it.
pub(super) struct Layouts<'a> {
    pub(super) net: &'a Net,
    /// By value: what it is the transposed of, and the order.
    roots: HashMap<ValueId, (ValueId, Layout)>,
    /// By value that is no transpose's: who takes it.
    pub(super) uses: Vec<Vec<Use>>,
    frames: RefCell<HashMap<NodeId, Option<Rc<dyn Frame>>>>,
}

/// The order of a Transpose node.
fn transposes(net: &Net, op: &Op) -> Option<(ValueId, Perm)> {
    if !op.is("Transpose") {
        return None;
    }
    let input = op.input(0)?;
    let rank = net.rank(input).or_else(|| op.node.ints("perm").map(<[i64]>::len))?;
    Some((input, order(op, rank)?))
}

impl<'a> Layouts<'a> {
    pub(super) fn new(net: &'a Net) -> Layouts<'a> {
        let mut layouts = Layouts {
            net,
            roots: HashMap::new(),
            uses: vec![Vec::new(); net.values.len()],
            frames: RefCell::default(),
        };
        for id in net.node_ids() {
            if let Some(output) = net.op(id).and_then(|op| op.output(0)) {
                layouts.find_root(output);
            }
        }
        layouts.find_uses();
        layouts
    }

    fn find_root(&mut self, value: ValueId) {
        let mut chain = Vec::new();
        let mut at = value;
        while !self.roots.contains_key(&at)
            && let Some((input, order)) =
                self.net.producer_op(at).and_then(|(_, op)| transposes(self.net, op))
        {
            chain.push((at, order));
            at = input;
            // In a graph with a cycle this would have no end.
            if chain.len() > self.net.nodes.len() {
                return;
            }
        }
        let (root, mut order) = self.root(at);
        for (value, next) in chain.into_iter().rev() {
            order = join(&order, &layout(Some(&next)));
            self.roots.insert(value, (root, order.clone()));
        }
    }

    fn find_uses(&mut self) {
        let mut found = Vec::new();
        for id in self.net.node_ids() {
            let Some(op) = self.net.op(id) else { continue };
            if self.is_transpose(op) {
                continue;
            }
            for (slot, input) in op.inputs.iter().enumerate() {
                found.extend(input.map(|input| (input, User::Input(id, slot))));
            }
            found.extend(op.captured.iter().map(|(_, value)| (*value, User::Fixed)));
        }
        found.extend(self.net.outputs.iter().map(|&output| (output, User::Fixed)));
        for (value, user) in found {
            let (root, path) = self.root(value);
            self.uses[root].push(Use { user, path });
        }
    }

    pub(super) fn is_transpose(&self, op: &Op) -> bool {
        op.output(0).is_some_and(|output| self.roots.contains_key(&output))
    }

    /// What a value is the transposed of, and the order.
    pub(super) fn root(&self, value: ValueId) -> (ValueId, Layout) {
        self.roots.get(&value).cloned().unwrap_or((value, None))
    }

    /// Values behind transposes, with what they are the transposed of.
    pub(super) fn transposed(&self) -> impl Iterator<Item = (ValueId, &(ValueId, Layout))> {
        self.roots.iter().map(|(&value, root)| (value, root))
    }

    pub(super) fn frame(&self, node: NodeId) -> Option<Rc<dyn Frame>> {
        let make = || self.net.op(node).and_then(|op| frame(self.net, op));
        self.frames.borrow_mut().entry(node).or_insert_with(make).clone()
    }

    /// Whether a value is a constant that can be stored in any order for nothing.
    pub(super) fn is_free(&self, value: ValueId) -> bool {
        self.net.constant(value).is_some_and(is_movable)
    }

    /// How a value is given.
    pub(super) fn produced(&self, value: ValueId, states: &States) -> Layout {
        let (node, slot) = self.net.producer(value)?;
        layout(states.get(&node)?.output(slot))
    }

    /// How a value is wanted by one who takes it.
    pub(super) fn wanted(&self, one: &Use, states: &States) -> Layout {
        match one.user {
            User::Input(node, slot) => {
                let own = states.get(&node).and_then(|state| layout(state.input(slot)));
                join(&one.path, &own)
            }
            User::Fixed => one.path.clone(),
        }
    }

    /// The different orders in which a value is wanted and not given.
    pub(super) fn missing(&self, value: ValueId, states: &States) -> Vec<Layout> {
        let given = self.produced(value, states);
        let mut missing: Vec<Layout> = Vec::new();
        for one in &self.uses[value] {
            let wanted = self.wanted(one, states);
            if wanted != given && !missing.contains(&wanted) {
                missing.push(wanted);
            }
        }
        missing
    }

    /// What the transposes behind a value cost.
    pub(super) fn cost(&self, value: ValueId, states: &States) -> u64 {
        if self.is_free(value) {
            return 0;
        }
        let given = self.produced(value, states);
        let missing = self.missing(value, states);
        missing.iter().map(|wanted| self.price(value, &given, wanted)).sum()
    }

    /// What one transpose of a value costs: first of all that it is there, then its elements.
    pub(super) fn price(&self, value: ValueId, from: &Layout, to: &Layout) -> u64 {
        const UNKNOWN: u64 = 1 << 16;
        const MOST: u64 = NODE >> 4;
        let Some(dims) = self.net.dims(value) else { return NODE + UNKNOWN };
        let real = |order: &Layout| -> Vec<usize> {
            let order = order.clone().unwrap_or_else(|| Perm::identity(dims.len()));
            let real = order.axes().iter().copied();
            real.filter(|&axis| dims.get(axis).is_some_and(|dim| !dim.is_one())).collect()
        };
        let sizes = dims.iter().map(|dim| dim.usual() as u64);
        let elements = sizes.fold(1, u64::saturating_mul).min(MOST);
        // Where only axes of one element move, no element does; but the fewer the better.
        let node = if real(from) == real(to) { NODE >> 2 } else { NODE };
        node + elements
    }
}

fn is_movable(constant: &Constant) -> bool {
    constant.element_type.bits() >= 8 && constant.external().is_none()
}
