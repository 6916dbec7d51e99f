//! Operators after which some axes are gone: reductions, Squeeze, Gather at one position.

use super::super::super::list::{List, Stated, axis, set_attribute};
use super::super::super::net::{Net, NodeId, Op};
use super::super::super::perm::Perm;
use super::along::stated_axes;
use super::moved::Moved;
use super::{Build, Frame, State};

pub(super) fn build(operator: &str) -> Option<Build> {
    Some(match operator {
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
        | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => reduce,
        "ArgMax" | "ArgMin" => extremum,
        "Squeeze" => squeeze,
        "Gather" => gather,
        _ => return None,
    })
}

/// How a node names the axes that go.
#[derive(Clone, Copy)]
enum Naming {
    /// All go.
    All,
    /// By a list.
    List(List, bool),
    /// By the attribute `axis`.
    Attribute,
}

impl Naming {
    fn set(self, net: &mut Net, node: NodeId, order: &Perm, axes: &[usize]) {
        let places = axes.iter().filter_map(|&axis| order.place_of(axis));
        let mut places: Vec<i64> = places.map(|place| place as i64).collect();
        places.sort_unstable();
        match (self, places.first()) {
            (Naming::List(list, as_attribute), _) => list.set(net, node, &places, as_attribute),
            (Naming::Attribute, Some(&place)) => set_attribute(net, node, "axis", place),
            _ => {}
        }
    }
}

/// Axes go; the others keep their order.
struct Dropped {
    rank: usize,
    axes: Vec<usize>,
    naming: Naming,
    inputs: usize,
}

impl Dropped {
    fn state(&self, order: &Perm) -> Option<State> {
        (order.rank() == self.rank).then_some(())?;
        let stays = |axis: &usize| !self.axes.contains(axis);
        let rest: Vec<usize> = order.axes().iter().copied().filter(stays).collect();
        let mut inputs = vec![None; self.inputs];
        *inputs.first_mut()? = Some(order.clone());
        Some(State { inputs, outputs: vec![Some(Perm::ranked(&rest))] })
    }
}

impl Frame for Dropped {
    fn of_input(&self, slot: usize, order: &Perm) -> Option<State> {
        if slot == 0 { self.state(order) } else { None }
    }

    fn of_output(&self, _: usize, order: &Perm) -> Option<State> {
        let rest: Vec<usize> = (0..self.rank).filter(|axis| !self.axes.contains(axis)).collect();
        (order.rank() == rest.len()).then_some(())?;
        let mut moved = order.apply(&rest).into_iter();
        let all = (0..self.rank)
            .map(|axis| if self.axes.contains(&axis) { Some(axis) } else { moved.next() });
        self.state(&Perm::new(all.collect::<Option<_>>()?)?)
    }

    fn apply(&self, net: &mut Net, node: NodeId, state: &State) {
        if let Some(order) = state.inputs.first().and_then(Option::as_ref) {
            self.naming.set(net, node, order, &self.axes);
        }
    }
}

/// Axes that stay with one element, or go.
fn dropping(net: &Net, op: &Op, axes: Vec<usize>, naming: Naming) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    if op.node.int("keepdims").unwrap_or(1) != 0 {
        return moved.changing(move |net, node, order| naming.set(net, node, order, &axes)).boxed();
    }
    Some(Box::new(Dropped { rank: moved.rank(), axes, naming, inputs: op.inputs.len() }))
}

fn reduce(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let rank = net.rank(op.input(0)?)?;
    let list = List::new("axes", 1);
    let is_input = net.opset >= if op.is("ReduceSum") { 13 } else { 18 };
    let all = || dropping(net, op, (0..rank).collect(), Naming::All);
    let nothing_means_nothing = op.node.int("noop_with_empty_axes").unwrap_or(0) != 0;
    match list.of(net, op) {
        Stated::Known(stated) if stated.is_empty() && nothing_means_nothing => None,
        Stated::Known(stated) if stated.is_empty() => all(),
        Stated::Absent if !nothing_means_nothing => all(),
        _ => {
            let axes = stated_axes(net, op, list, rank)?;
            dropping(net, op, axes, Naming::List(list, !is_input))
        }
    }
}

fn extremum(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let axis = axis(op.node.int("axis").unwrap_or(0), net.rank(op.input(0)?)?)?;
    dropping(net, op, vec![axis], Naming::Attribute)
}

fn squeeze(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let input = op.input(0)?;
    let list = List::new("axes", 1);
    let axes = match list.of(net, op) {
        Stated::Absent => {
            let dims = net.dims(input)?;
            (0..dims.len()).filter(|&axis| dims[axis].is_one()).collect()
        }
        _ => stated_axes(net, op, list, net.rank(input)?)?,
    };
    let (rank, inputs) = (net.rank(input)?, op.inputs.len());
    let naming = Naming::List(list, net.opset < 13);
    Some(Box::new(Dropped { rank, axes, naming, inputs }))
}

fn gather(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let axis = axis(op.node.int("axis").unwrap_or(0), moved.rank())?;
    match net.rank(op.input(1)?)? {
        0 => {
            let (rank, inputs) = (moved.rank(), op.inputs.len());
            Some(Box::new(Dropped { rank, axes: vec![axis], naming: Naming::Attribute, inputs }))
        }
        1 => moved
            .changing(move |net, node, order| Naming::Attribute.set(net, node, order, &[axis]))
            .boxed(),
        _ => None,
    }
}
