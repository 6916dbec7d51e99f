//! Shape and Size: they ask for sizes, which are the same in any order.

use super::super::super::net::{Net, NodeId, Op};
use super::super::super::perm::Perm;
use super::{Build, Frame, State};
use crate::Node;

pub(super) fn build(operator: &str) -> Option<Build> {
    match operator {
        "Shape" | "Size" => Some(shape),
        _ => None,
    }
}

struct Asked {
    rank: usize,
    /// The sizes that are asked for; `None` for their product.
    axes: Option<Vec<usize>>,
}

fn shape(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let rank = net.rank(op.input(0)?)?;
    let bound = |name: &str, default: usize| {
        let Some(stated) = op.node.int(name) else { return default };
        let length = rank as i64;
        let from_front = if stated < 0 { stated.saturating_add(length) } else { stated };
        from_front.clamp(0, length) as usize
    };
    let axes = op.is("Shape").then(|| (bound("start", 0)..bound("end", rank)).collect());
    Some(Box::new(Asked { rank, axes }))
}

impl Frame for Asked {
    fn of_input(&self, _: usize, order: &Perm) -> Option<State> {
        let state = || State { inputs: vec![Some(order.clone())], outputs: vec![None] };
        (order.rank() == self.rank).then(state)
    }

    fn of_output(&self, _: usize, _: &Perm) -> Option<State> {
        None
    }

    fn extra_nodes(&self, state: &State) -> u64 {
        u64::from(self.axes.is_some() && !state.is_original())
    }

    fn apply(&self, net: &mut Net, node: NodeId, state: &State) {
        let (Some(axes), Some(order)) = (&self.axes, state.input(0)) else { return };
        let Some(output) = net.op(node).and_then(|op| op.output(0)) else { return };
        let places = axes.iter().filter_map(|&axis| order.place_of(axis));
        let places: Vec<i64> = places.map(|place| place as i64).collect();
        let known = net.values[output].known.clone();
        let name = format!("{}/stored", net.values[output].name);
        let stored = net.renew_output(node, 0, (&name, known));
        if let Some(op) = net.op_mut(node) {
            op.node.attributes.clear();
        }
        let picks = net.add_integers("axes", &places);
        net.revive(Node::new("Gather", &[], &[]).with("axis", 0), &[stored, picks], output, node);
    }
}
