//! Merges operators that only say the shape anew, and states shapes that were computed.

use super::Options;
use super::list::List;
use super::net::{Net, NodeId, Op, ValueId};
use super::shapes::Size;

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        changed |= undo_pair(net, id) || merge(net, id) || state(net, id);
    }
    changed
}

/// Operators whose output has the elements of the input, in their order.
fn is_view(op: &Op) -> bool {
    matches!(op.standard(), Some("Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"))
}

/// Axes that come and go again, or go and come again, whatever the sizes.
fn undo_pair(net: &mut Net, id: NodeId) -> bool {
    let pair = net.op(id).and_then(|op| {
        let (_, before) = net.producer_op(op.input(0)?)?;
        let opposite = match op.standard()? {
            "Squeeze" => "Unsqueeze",
            "Unsqueeze" => "Squeeze",
            _ => return None,
        };
        let axes = |op: &Op| List::new("axes", 1).of(net, op).known();
        let is_undone = before.is(opposite) && sorted(axes(op)?)? == sorted(axes(before)?)?;
        is_undone.then_some((op.output(0)?, before.input(0)?))
    });
    let Some((output, original)) = pair.filter(|(output, _)| net.is_used(*output)) else {
        return false;
    };
    net.replace(output, original);
    true
}

fn sorted(mut axes: Vec<i64>) -> Option<Vec<i64>> {
    axes.sort_unstable();
    axes.iter().all(|&axis| axis >= 0).then_some(axes)
}

/// One reshape instead of two.
fn merge(net: &mut Net, id: NodeId) -> bool {
    let merged = net.op(id).filter(|op| is_view(op)).and_then(|op| {
        let (_, before) = net.producer_op(op.input(0)?).filter(|(_, before)| is_view(before))?;
        let original = before.input(0)?;
        let target = target(net.dims(original)?, net.dims(op.output(0)?)?)?;
        Some((original, target))
    });
    let Some((original, target)) = merged else { return false };
    rewrite(net, id, original, &target);
    true
}

/// A list that says the shape, instead of nodes that compute it.
fn state(net: &mut Net, id: NodeId) -> bool {
    let stated = net.op(id).filter(|op| op.is("Reshape")).and_then(|op| {
        let (input, shape) = (op.input(0)?, op.input(1)?);
        net.constant(shape).is_none().then_some(())?;
        Some((input, target(net.dims(input)?, net.dims(op.output(0)?)?)?))
    });
    let Some((input, target)) = stated else { return false };
    rewrite(net, id, input, &target);
    true
}

fn rewrite(net: &mut Net, id: NodeId, input: ValueId, target: &[i64]) {
    if let Some(op) = net.op_mut(id) {
        op.node.op_type = "Reshape".into();
        op.node.attributes.clear();
        op.inputs.truncate(1);
    }
    if net.op(id).and_then(|op| op.input(0)) != Some(input) {
        net.set_input(id, 0, Some(input));
    }
    List::new("shape", 1).set(net, id, target, false);
}

/// How a Reshape says its output: sizes, -1 for what is open, 0 for what stays where there is more
/// that is open.
pub(super) fn target(before: &[Size], after: &[Size]) -> Option<Vec<i64>> {
    let open = after.iter().filter(|size| size.fixed().is_none()).count();
    let mut inferred = false;
    let item = |(index, size): (usize, &Size)| match size.fixed() {
        Some(0) => None,
        Some(size) => i64::try_from(size).ok(),
        None if open > 1 && before.get(index) == Some(size) => Some(0),
        None => (!std::mem::replace(&mut inferred, true)).then_some(-1),
    };
    after.iter().enumerate().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_said_once_or_stays() {
        let fixed = |size| Size::of(size);
        assert_eq!(target(&[fixed(6)], &[fixed(2), fixed(3)]), Some(vec![2, 3]));
        assert_eq!(target(&[fixed(0)], &[fixed(0), fixed(3)]), None);
    }
}
