//! Unsqueeze: axes of one element come.

use super::super::super::list::List;
use super::super::super::net::{Net, NodeId, Op};
use super::super::super::perm::Perm;
use super::along::stated_axes;
use super::{Build, Frame, State};

const AXES: List = List::new("axes", 1);

pub(super) fn build(operator: &str) -> Option<Build> {
    (operator == "Unsqueeze").then_some(unsqueeze as Build)
}

struct Inserted {
    /// Of the output.
    rank: usize,
    /// The new ones, in the output.
    axes: Vec<usize>,
    inputs: usize,
    as_attribute: bool,
}

fn unsqueeze(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let count = AXES.of(net, op).known()?.len();
    let rank = net.rank(op.input(0)?)?.checked_add(count)?;
    let axes = stated_axes(net, op, AXES, rank)?;
    let (inputs, as_attribute) = (op.inputs.len(), net.opset < 13);
    Some(Box::new(Inserted { rank, axes, inputs, as_attribute }))
}

impl Inserted {
    fn state(&self, order: &Perm) -> Option<State> {
        (order.rank() == self.rank).then_some(())?;
        let is_old = |axis: &usize| !self.axes.contains(axis);
        let old: Vec<usize> = order.axes().iter().copied().filter(is_old).collect();
        let mut inputs = vec![None; self.inputs];
        *inputs.first_mut()? = Some(Perm::ranked(&old));
        Some(State { inputs, outputs: vec![Some(order.clone())] })
    }
}

impl Frame for Inserted {
    fn of_input(&self, slot: usize, order: &Perm) -> Option<State> {
        let old: Vec<usize> = (0..self.rank).filter(|axis| !self.axes.contains(axis)).collect();
        (slot == 0 && order.rank() == old.len()).then_some(())?;
        let mut moved = order.apply(&old).into_iter();
        let all = (0..self.rank)
            .map(|axis| if self.axes.contains(&axis) { Some(axis) } else { moved.next() });
        self.state(&Perm::new(all.collect::<Option<_>>()?)?)
    }

    fn of_output(&self, _: usize, order: &Perm) -> Option<State> {
        self.state(order)
    }

    fn apply(&self, net: &mut Net, node: NodeId, state: &State) {
        let Some(order) = state.outputs.first().and_then(Option::as_ref) else { return };
        let places = self.axes.iter().filter_map(|&axis| order.place_of(axis));
        let mut places: Vec<i64> = places.map(|place| place as i64).collect();
        places.sort_unstable();
        AXES.set(net, node, &places, self.as_attribute);
    }
}
