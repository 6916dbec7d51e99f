//! Operators whose outputs have the axes of their inputs: all are stored in the same order.

use super::super::super::list::List;
use super::super::super::net::{Net, NodeId, Op, ValueId};
use super::super::super::perm::Perm;
use super::super::super::shapes::{Known, Size};
use super::super::super::tensor::reshaped;
use super::{Frame, State};
use crate::Node;

/// What an input has to do with the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// Nothing.
    Apart,
    /// It has all axes.
    Whole,
    /// It has only the last ones, this many, and is stretched over the others.
    Last(usize),
}

/// Changes attributes and lists of a node to another order of its axes.
type Change = Box<dyn Fn(&mut Net, NodeId, &Perm)>;

/// See the module.
pub(super) struct Moved {
    rank: usize,
    operands: Vec<Operand>,
    outputs: usize,
    /// Axes that must stay where they are.
    keeps: Vec<usize>,
    change: Option<Change>,
}

impl Moved {
    /// A frame in which the first input and all outputs have the same axes.
    pub(super) fn first(net: &Net, op: &Op) -> Option<Moved> {
        let rank = net.rank(op.input(0)?)?;
        let mut operands = vec![Operand::Apart; op.inputs.len()];
        *operands.first_mut()? = Operand::Whole;
        Some(Moved { rank, operands, outputs: op.outputs.len(), keeps: Vec::new(), change: None })
    }

    pub(super) fn of(rank: usize, operands: Vec<Operand>, outputs: usize) -> Moved {
        Moved { rank, operands, outputs, keeps: Vec::new(), change: None }
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// Input `slot` has all axes too.
    pub(super) fn with(mut self, slot: usize) -> Moved {
        if let Some(operand) = self.operands.get_mut(slot) {
            *operand = Operand::Whole;
        }
        self
    }

    pub(super) fn keeping(mut self, axes: impl IntoIterator<Item = usize>) -> Moved {
        self.keeps.extend(axes);
        self
    }

    pub(super) fn changing(mut self, change: impl Fn(&mut Net, NodeId, &Perm) + 'static) -> Moved {
        self.change = Some(Box::new(change));
        self
    }

    pub(super) fn boxed(self) -> Option<Box<dyn Frame>> {
        Some(Box::new(self))
    }

    fn state(&self, order: &Perm) -> Option<State> {
        let stays = |&axis: &usize| order.axes().get(axis) == Some(&axis);
        if order.rank() != self.rank || !self.keeps.iter().all(stays) {
            return None;
        }
        let operand = |operand: &Operand| match *operand {
            Operand::Apart => None,
            Operand::Whole => Some(order.clone()),
            Operand::Last(rank) => Some(last(order, rank)),
        };
        Some(State {
            inputs: self.operands.iter().map(operand).collect(),
            outputs: vec![Some(order.clone()); self.outputs],
        })
    }

    /// The order of all axes in this state.
    fn order(state: &State) -> Option<&Perm> {
        state.outputs.iter().flatten().next()
    }
}

impl Frame for Moved {
    fn of_input(&self, slot: usize, order: &Perm) -> Option<State> {
        match *self.operands.get(slot)? {
            Operand::Apart => None,
            Operand::Whole => self.state(order),
            Operand::Last(rank) => {
                let missing = self.rank.checked_sub(rank)?;
                let rest = order.axes().iter().map(|axis| axis + missing);
                self.state(&Perm::new((0..missing).chain(rest).collect())?)
            }
        }
    }

    fn of_output(&self, _: usize, order: &Perm) -> Option<State> {
        self.state(order)
    }

    fn extra_nodes(&self, state: &State) -> u64 {
        let Some(order) = Moved::order(state) else { return 0 };
        let stretched = self.operands.iter().filter(|operand| match **operand {
            Operand::Last(rank) => !new_axes(order, rank).is_empty(),
            _ => false,
        });
        stretched.count() as u64
    }

    fn apply(&self, net: &mut Net, node: NodeId, state: &State) {
        let Some(order) = Moved::order(state) else { return };
        for (slot, operand) in self.operands.iter().enumerate() {
            if let Operand::Last(rank) = *operand
                && let axes = new_axes(order, rank)
                && !axes.is_empty()
                && let Some(value) = net.op(node).and_then(|op| op.input(slot))
            {
                let value = unsqueezed(net, node, value, &axes);
                net.set_input(node, slot, Some(value));
            }
        }
        if let Some(change) = &self.change {
            change(net, node, order);
        }
    }
}

/// The order of the last `rank` axes among themselves.
fn last(order: &Perm, rank: usize) -> Perm {
    let missing = order.rank().saturating_sub(rank);
    let own: Vec<usize> = order.axes().iter().copied().filter(|&axis| axis >= missing).collect();
    Perm::ranked(&own)
}

/// Where a tensor of the last `rank` axes, stored in their order, needs axes of one element: those
/// before its first need not be there.
fn new_axes(order: &Perm, rank: usize) -> Vec<usize> {
    let missing = order.rank().saturating_sub(rank);
    let is_own = |axis: &usize| *axis >= missing;
    let from_first: Vec<&usize> = order.axes().iter().skip_while(|axis| !is_own(axis)).collect();
    (0..from_first.len()).filter(|&index| !is_own(from_first[index])).collect()
}

/// `value` with axes of one element more.
pub(super) fn unsqueezed(net: &mut Net, near: NodeId, value: ValueId, axes: &[usize]) -> ValueId {
    let spread = |dims: &[Size]| {
        let mut dims = dims.to_vec();
        for &axis in axes {
            dims.insert(axis.min(dims.len()), Size::of(1));
        }
        dims
    };
    if let Some(constant) = net.constant(value) {
        let dims = spread(&constant.dims.iter().map(|&dim| Size::of(dim)).collect::<Vec<_>>());
        let dims: Vec<usize> = dims.iter().map(|dim| dim.example()).collect();
        let mut constant = reshaped(constant, &dims);
        constant.name.clone_from(&net.values[value].name);
        return net.add_constant(constant);
    }
    let known = &net.values[value].known;
    let known = Known {
        element_type: known.element_type,
        rank: known.rank.map(|rank| rank + axes.len()),
        dims: known.dims.as_deref().map(spread),
        integers: None,
    };
    let name = format!("{}/unsqueezed", net.values[value].name);
    let output = net.add_node(Node::new("Unsqueeze", &[], &[]), &[value], (&name, known), near);
    let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    if let Some((node, _)) = net.producer(output) {
        List::new("axes", 1).set(net, node, &list, net.opset < 13);
    }
    output
}
