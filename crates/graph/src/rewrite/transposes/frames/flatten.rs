//! Flatten before a matrix of constants: its rows are put in another order instead of the image,
//! with the constants of elementwise operators between the two.

use super::super::super::list::axis;
use super::super::super::net::{Net, NodeId, Op, ValueId};
use super::super::super::perm::Perm;
use super::super::super::shapes::{Size, fixed};
use super::super::super::tensor::{rearrange, strides};
use super::elementwise::is_unary;
use super::reshape::Group;

/// Nodes looked at behind a Flatten.
const MOST_NODES: usize = 64;

/// Constants that others use too are copied up to this many bytes.
const MOST_BYTES: usize = 16 << 10;

/// The constants that follow, and the axes of the image that become their rows.
pub(super) struct Rows {
    constants: Vec<Listed>,
    /// Axes that are flattened into one, in their order.
    axes: Vec<usize>,
}

/// A constant, by the input of a node: its axis `axis` is the rows.
struct Listed {
    node: NodeId,
    slot: usize,
    axis: usize,
}

/// The rows behind a Flatten into the last axis, if all that it gives goes to such matrices.
pub(super) fn rows(
    net: &Net,
    op: &Op,
    before: &[Size],
    after: &[Size],
    groups: &[Group],
) -> Option<Rows> {
    let last = after.len().checked_sub(1)?;
    let group = groups.iter().find(|group| group.after == [last] && group.before.len() > 1)?;
    let sizes: Vec<Size> = group.before.iter().map(|&axis| before[axis]).collect();
    let rows = fixed(&sizes)?.iter().try_fold(1usize, |rows, &size| rows.checked_mul(size))?;
    let constants = Search { net, rows, found: Vec::new() }.behind(op.output(0)?)?;
    Some(Rows { constants, axes: group.before.clone() })
}

/// A search for all constants that have to do with the last axis of a value.
struct Search<'a> {
    net: &'a Net,
    rows: usize,
    found: Vec<Listed>,
}

impl Search<'_> {
    /// The constants; `None` if the value goes anywhere else too.
    fn behind(mut self, value: ValueId) -> Option<Vec<Listed>> {
        let net = self.net;
        let mut values = vec![value];
        let mut looked = 0;
        while let Some(value) = values.pop() {
            (!net.values[value].is_pinned).then_some(())?;
            for node in net.users(value) {
                looked += 1;
                let op = net.op(node).filter(|_| looked <= MOST_NODES)?;
                op.captured.is_empty().then_some(())?;
                let slot = op.inputs.iter().position(|input| *input == Some(value))?;
                let once = !op.inputs[slot + 1..].contains(&Some(value));
                once.then_some(())?;
                let goes_on = self.at(node, op, slot)?;
                if goes_on {
                    values.push(op.single_output()?);
                }
            }
        }
        (!self.found.is_empty()).then_some(self.found)
    }

    /// What a node makes of the value at `slot`: whether its output is in the same order.
    fn at(&mut self, node: NodeId, op: &Op, slot: usize) -> Option<bool> {
        let operator = op.standard()?;
        match (operator, slot) {
            ("MatMul" | "Gemm", 0) => {
                self.matrix(node, op)?;
                return Some(false);
            }
            ("QuantizeLinear" | "DequantizeLinear", 0) => {
                (self.net.rank(op.input(1)?)? == 0).then_some(())?;
            }
            ("BatchNormalization", 0) => {
                (self.net.rank(op.input(0)?)? == 2 && op.outputs.len() == 1).then_some(())?;
                for slot in 1..5 {
                    self.add(Listed { node, slot, axis: 0 })?;
                }
            }
            ("Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "PRelu", 0 | 1) => {
                let other = 1 - slot;
                let dims = &self.net.constant_input(op, other)?.dims;
                (dims.len() <= self.net.rank(op.input(slot)?)?).then_some(())?;
                match dims.last() {
                    None | Some(1) => {}
                    Some(_) => self.add(Listed { node, slot: other, axis: dims.len() - 1 })?,
                }
            }
            (_, 0) if is_unary(operator) => {}
            _ => return None,
        }
        Some(true)
    }

    fn matrix(&mut self, node: NodeId, op: &Op) -> Option<()> {
        let is_set = |name: &str| op.node.int(name).unwrap_or(0) != 0;
        let rows = usize::from(op.is("Gemm") && is_set("transB"));
        let value = op.input(1)?;
        (!is_set("transA") && self.net.rank(value)? == 2).then_some(())?;
        let Some((dequantize, op)) = self.net.producer_op(value) else {
            return self.add(Listed { node, slot: 1, axis: rows });
        };
        let is_apart = match self.net.rank(op.input(1)?)? {
            0 => true,
            1 => axis(op.node.int("axis").unwrap_or(1), 2)? != rows,
            _ => false,
        };
        let is_used_once = self.net.only_user(value) == Some(node);
        (op.is("DequantizeLinear") && is_apart && is_used_once).then_some(())?;
        self.add(Listed { node: dequantize, slot: 0, axis: rows })
    }

    fn add(&mut self, listed: Listed) -> Option<()> {
        let value = self.net.op(listed.node)?.input(listed.slot)?;
        let constant = self.net.constant(value)?;
        let is_alone =
            self.net.only_user(value) == Some(listed.node) || constant.byte_len()? <= MOST_BYTES;
        let is_at_hand = constant.element_type.bits() >= 8 && constant.external().is_none();
        let fits = constant.dims.get(listed.axis) == Some(&self.rows);
        (is_alone && is_at_hand && fits).then(|| self.found.push(listed))
    }
}

impl Rows {
    /// Whether the flattened axes are together in this order and all others where they were.
    pub(super) fn accept(&self, order: &Perm, before: &[Size]) -> bool {
        let real = |order: &[usize]| -> Vec<usize> {
            order.iter().copied().filter(|&axis| !before[axis].is_one()).collect()
        };
        let (now, was) = (real(order.axes()), real(Perm::identity(before.len()).axes()));
        now.iter().zip(&was).all(|(now, was)| now == was || self.axes.contains(was))
            && now
                .iter()
                .zip(&was)
                .all(|(now, was)| self.axes.contains(now) == self.axes.contains(was))
    }

    pub(super) fn apply(&self, net: &mut Net, order: &Perm, before: &[Size]) {
        let listed = order.axes().iter().copied().filter(|axis| self.axes.contains(axis));
        let moved = Perm::ranked(&listed.collect::<Vec<_>>());
        let sizes: Vec<Size> = self.axes.iter().map(|&axis| before[axis]).collect();
        let Some(sizes) = fixed(&sizes) else { return };
        let order = rows_in_order(&sizes, &moved);
        for listed in &self.constants {
            let Some(value) = net.op(listed.node).and_then(|op| op.input(listed.slot)) else {
                continue;
            };
            let name = net.values[value].name.clone();
            let Some(mut constant) = net.give_away(value, listed.node) else { continue };
            // The search saw that it has these rows, at hand.
            rearrange(&mut constant, listed.axis, &order);
            constant.name = name;
            let new = net.add_constant(constant);
            net.set_input(listed.node, listed.slot, Some(new));
            net.let_go(value);
        }
    }
}

/// For each row of an image whose axes, of these sizes, come in another order: which it was.
fn rows_in_order(sizes: &[usize], order: &Perm) -> Vec<usize> {
    let strides = strides(sizes);
    let mut rows = vec![0usize];
    for &axis in order.axes() {
        let steps = (0..sizes[axis]).map(|step| step * strides[axis]);
        rows = rows.iter().flat_map(|row| steps.clone().map(move |step| row + step)).collect();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_axes_of_the_image() {
        let order = Perm::new(vec![2, 0, 1]).unwrap();
        let expected: Vec<usize> = vec![0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11];
        assert_eq!(rows_in_order(&[2, 2, 3], &order), expected);
    }
}
