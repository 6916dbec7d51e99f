//! Reshape and Flatten, where axes or groups of axes move as a whole.
//!
//! A reshape makes groups of axes out of groups of axes of the same size. In another order of the
//! input it is a reshape again if each group is still together; its output then has the groups in
//! the new order. Axes of one element can be anywhere.

use super::super::super::list::List;
use super::super::super::net::{Net, NodeId, Op};
use super::super::super::perm::Perm;
use super::super::super::reshapes::target;
use super::super::super::shapes::{Size, product};
use super::flatten::{self, Rows};
use super::{Build, Frame, State};

pub(super) fn build(operator: &str) -> Option<Build> {
    match operator {
        "Reshape" | "Flatten" => Some(reshape),
        _ => None,
    }
}

/// Axes of the input and those of the output that hold the same elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) before: Vec<usize>,
    pub(super) after: Vec<usize>,
}

struct Reshaped {
    before: Vec<Size>,
    after: Vec<Size>,
    groups: Vec<Group>,
    inputs: usize,
    /// Constants whose rows can be put in another order instead.
    rows: Option<Rows>,
    /// A Flatten that leaves the first axis alone.
    is_flatten: bool,
}

fn reshape(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let before = net.dims(op.input(0)?)?.to_vec();
    let after = net.dims(op.output(0)?)?.to_vec();
    let groups = groups(&before, &after)?;
    let rows = flatten::rows(net, op, &before, &after, &groups);
    let is_flatten = op.is("Flatten") && op.node.int("axis").unwrap_or(1) == 1;
    Some(Box::new(Reshaped { before, after, groups, inputs: op.inputs.len(), rows, is_flatten }))
}

/// The smallest groups of axes that go over into each other, axes of one element left out.
fn groups(before: &[Size], after: &[Size]) -> Option<Vec<Group>> {
    let real = |dims: &[Size]| -> Vec<usize> {
        (0..dims.len()).filter(|&axis| !dims[axis].is_one()).collect()
    };
    let (mut one, mut two) = (real(before).into_iter(), real(after).into_iter());
    let mut groups = Vec::new();
    loop {
        let mut group = match (one.next(), two.next()) {
            (None, None) => return Some(groups),
            (Some(one), Some(two)) => Group { before: vec![one], after: vec![two] },
            _ => return None,
        };
        loop {
            let size = |dims: &[Size], axes: &[usize]| {
                product(&axes.iter().map(|&axis| dims[axis]).collect::<Vec<_>>())
            };
            let (left, right) = (size(before, &group.before)?, size(after, &group.after)?);
            if left == right {
                break;
            }
            if left.example() < right.example() {
                group.before.push(one.next()?);
            } else {
                group.after.push(two.next()?);
            }
        }
        groups.push(group);
    }
}

/// An order in which the axes that are listed come in this order, and the others stay.
fn filled(rank: usize, listed: &[usize]) -> Option<Perm> {
    let mut moved = listed.iter().copied();
    let all = (0..rank).map(|axis| if listed.contains(&axis) { moved.next() } else { Some(axis) });
    Perm::new(all.collect::<Option<_>>()?)
}

impl Reshaped {
    /// The groups in the order in which `order` has them, if each is together; `side` picks the
    /// axes that are ordered.
    fn ordered(
        &self,
        order: &Perm,
        dims: &[Size],
        side: fn(&Group) -> &Vec<usize>,
    ) -> Option<Vec<&Group>> {
        let real = order.axes().iter().copied().filter(|&axis| !dims[axis].is_one());
        let real: Vec<usize> = real.collect();
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        let place = |group: &&Group| real.iter().position(|axis| Some(axis) == side(group).first());
        groups.sort_by_key(place);
        let expected: Vec<usize> = groups.iter().flat_map(|group| side(group)).copied().collect();
        (expected == real).then_some(groups)
    }

    fn state(&self, before: Perm, after: Perm) -> Option<State> {
        self.target(&before, &after)?;
        let mut inputs = vec![None; self.inputs];
        *inputs.first_mut()? = Some(before);
        Some(State { inputs, outputs: vec![Some(after)] })
    }

    /// How the Reshape says its output.
    fn target(&self, before: &Perm, after: &Perm) -> Option<Vec<i64>> {
        let stored = before.apply(&self.before);
        target(&stored, &after.apply(&self.after))
    }
}

impl Frame for Reshaped {
    fn of_input(&self, slot: usize, order: &Perm) -> Option<State> {
        (slot == 0 && order.rank() == self.before.len()).then_some(())?;
        if let Some(groups) = self.ordered(order, &self.before, |group| &group.before) {
            let after: Vec<usize> = groups.iter().flat_map(|group| &group.after).copied().collect();
            return self.state(order.clone(), filled(self.after.len(), &after)?);
        }
        let rows = self.rows.as_ref()?;
        rows.accept(order, &self.before).then_some(())?;
        self.state(order.clone(), Perm::identity(self.after.len()))
    }

    fn of_output(&self, _: usize, order: &Perm) -> Option<State> {
        (order.rank() == self.after.len()).then_some(())?;
        let groups = self.ordered(order, &self.after, |group| &group.after)?;
        let before: Vec<usize> = groups.iter().flat_map(|group| &group.before).copied().collect();
        self.state(filled(self.before.len(), &before)?, order.clone())
    }

    fn apply(&self, net: &mut Net, node: NodeId, state: &State) {
        let (Some(Some(before)), Some(Some(after))) = (state.inputs.first(), state.outputs.first())
        else {
            return;
        };
        let moves_rows = self.ordered(before, &self.before, |group| &group.before).is_none();
        if let Some(rows) = self.rows.as_ref().filter(|_| moves_rows) {
            rows.apply(net, before, &self.before);
        }
        let keeps_first = before.axes().first() == Some(&0);
        if self.is_flatten && keeps_first && after.is_identity() {
            return;
        }
        let Some(target) = self.target(before, after) else { return };
        if let Some(op) = net.op_mut(node) {
            op.node.op_type = "Reshape".into();
            op.node.attributes.clear();
        }
        List::new("shape", 1).set(net, node, &target, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_smallest_ones() {
        let sizes = |dims: &[usize]| dims.iter().map(|&dim| Size::of(dim)).collect::<Vec<_>>();
        let found = groups(&sizes(&[2, 1, 3, 4, 5]), &sizes(&[2, 12, 1, 5])).unwrap();
        let group = |before: &[usize], after: &[usize]| Group {
            before: before.to_vec(),
            after: after.to_vec(),
        };
        assert_eq!(found, [group(&[0], &[0]), group(&[2, 3], &[1]), group(&[4], &[3])]);
        assert_eq!(groups(&sizes(&[6]), &sizes(&[5])), None);
    }
}
