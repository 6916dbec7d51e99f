//! Lists of integers that nodes are given: as an attribute in older operator sets, as an input in
//! newer ones.

use super::net::{Net, NodeId, Op};
use crate::{Attribute, AttributeValue};

/// Lists longer than this are no axes, sizes or positions.
const MOST_ITEMS: usize = 1024;

/// A list that a node has or may have.
#[derive(Clone, Copy)]
pub(super) struct List {
    /// The attribute, in older operator sets.
    pub(super) attribute: &'static str,
    /// The input, in newer ones.
    pub(super) slot: usize,
}

/// What a node says of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stated {
    /// Nothing.
    Absent,
    /// This.
    Known(Vec<i64>),
    /// It is computed.
    Computed,
}

impl Stated {
    pub(super) fn known(self) -> Option<Vec<i64>> {
        match self {
            Stated::Known(list) => Some(list),
            _ => None,
        }
    }
}

impl List {
    pub(super) const fn new(attribute: &'static str, slot: usize) -> List {
        List { attribute, slot }
    }

    pub(super) fn of(self, net: &Net, op: &Op) -> Stated {
        if let Some(list) = op.node.ints(self.attribute) {
            return Stated::Known(list.to_vec());
        }
        if op.input(self.slot).is_none() {
            return Stated::Absent;
        }
        let constant = net.constant_input(op, self.slot);
        constant
            .and_then(|constant| constant.integers(MOST_ITEMS))
            .map_or(Stated::Computed, Stated::Known)
    }

    /// States another list, in the way the node has it (as an input where it has none).
    pub(super) fn set(self, net: &mut Net, node: NodeId, list: &[i64], as_attribute: bool) {
        if as_attribute || net.op(node).is_some_and(|op| op.node.ints(self.attribute).is_some()) {
            set_ints(net, node, self.attribute, list);
        } else {
            let output = net.op(node).and_then(|op| op.outputs.iter().flatten().next());
            let owner = output.map_or("", |&output| net.values[output].name.as_str());
            let name = format!("{owner}/{}", self.attribute);
            let value = net.add_integers(&name, list);
            net.set_input(node, self.slot, Some(value));
        }
    }
}

/// Gives a node an attribute.
pub(super) fn set_attribute(
    net: &mut Net,
    node: NodeId,
    name: &str,
    value: impl Into<AttributeValue>,
) {
    let value = value.into();
    let Some(op) = net.op_mut(node) else { return };
    match op.node.attributes.iter_mut().find(|attribute| attribute.name == name) {
        Some(attribute) => attribute.value = value,
        None => op.node.attributes.push(Attribute { name: name.into(), value }),
    }
}

pub(super) fn set_ints(net: &mut Net, node: NodeId, name: &str, list: &[i64]) {
    set_attribute(net, node, name, list);
}

/// An axis counted from the front; negative ones count from the back.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let index = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&index).then_some(index as usize)
}

/// Axes counted from the front, each once.
pub(super) fn axes(list: &[i64], rank: usize) -> Option<Vec<usize>> {
    let mut axes: Vec<usize> = list.iter().map(|&item| axis(item, rank)).collect::<Option<_>>()?;
    let count = axes.len();
    let listed = axes.clone();
    axes.sort_unstable();
    axes.dedup();
    (axes.len() == count).then_some(listed)
}
