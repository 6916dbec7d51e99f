//! Flatten before a matrix of constants: its rows are put in another order instead of the image.

use super::super::super::list::axis;
use super::super::super::net::{Net, NodeId, Op, ValueId};
use super::super::super::perm::Perm;
use super::super::super::shapes::{Size, fixed};
use super::super::super::tensor::{reshaped, transposed};
use super::elementwise::is_unary;
use super::reshape::Group;

/// Nodes looked at behind a Flatten.
const MOST_NODES: usize = 64;

/// The constants that follow, and the axes of the image that become their rows.
pub(super) struct Rows {
    /// Input 1 of these nodes, or of the DequantizeLinear that gives it.
    constants: Vec<Matrix>,
    /// Axes that are flattened into one, in their order.
    axes: Vec<usize>,
}

/// A constant whose axis `axis` is the rows.
struct Matrix {
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
    fixed(&sizes)?;
    let constants = matrices(net, op.output(0)?)?;
    Some(Rows { constants, axes: group.before.clone() })
}

/// The matrices that a value is multiplied with; `None` if it goes anywhere else too.
fn matrices(net: &Net, value: ValueId) -> Option<Vec<Matrix>> {
    let mut found = Vec::new();
    let mut values = vec![value];
    let mut looked = 0;
    while let Some(value) = values.pop() {
        (!net.values[value].is_pinned).then_some(())?;
        for node in net.users(value) {
            looked += 1;
            let op = net.op(node).filter(|_| looked <= MOST_NODES)?;
            op.captured.is_empty().then_some(())?;
            let operator = op.standard()?;
            (op.inputs.iter().filter(|input| **input == Some(value)).count() == 1).then_some(())?;
            (op.input(0) == Some(value)).then_some(())?;
            match operator {
                "MatMul" | "Gemm" => found.push(matrix(net, node, op)?),
                "QuantizeLinear" | "DequantizeLinear" if net.rank(op.input(1)?)? == 0 => {
                    values.push(op.single_output()?);
                }
                _ if is_unary(operator) => values.push(op.single_output()?),
                _ => return None,
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

fn matrix(net: &Net, node: NodeId, op: &Op) -> Option<Matrix> {
    let is_set = |name: &str| op.node.int(name).unwrap_or(0) != 0;
    let axis = usize::from(op.is("Gemm") && is_set("transB"));
    (!is_set("transA") && net.rank(op.input(1)?)? == 2).then_some(())?;
    let value = op.input(1)?;
    let matrix = match net.producer_op(value) {
        None => Matrix { node, slot: 1, axis },
        Some((dequantize, op)) => {
            let is_apart = net.rank(op.input(1)?)? == 0
                || super::super::super::list::axis(op.node.int("axis").unwrap_or(1), 2)? != axis;
            let is_used_once = net.only_user(value) == Some(node);
            (op.is("DequantizeLinear") && is_apart && is_used_once).then_some(())?;
            Matrix { node: dequantize, slot: 0, axis }
        }
    };
    let constant = net.constant_input(net.op(matrix.node)?, matrix.slot)?;
    let held = net.op(matrix.node)?.input(matrix.slot)?;
    let is_alone = net.only_user(held) == Some(matrix.node);
    (is_alone && constant.element_type.bits() >= 8 && constant.external().is_none())
        .then_some(matrix)
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
        for matrix in &self.constants {
            let Some(value) = net.op(matrix.node).and_then(|op| op.input(matrix.slot)) else {
                continue;
            };
            if let Some(mut constant) = net
                .constant(value)
                .and_then(|constant| reordered(constant, matrix.axis, &sizes, &moved))
            {
                constant.name.clone_from(&net.values[value].name);
                let new = net.add_constant(constant);
                net.set_input(matrix.node, matrix.slot, Some(new));
                net.let_go(value);
            }
        }
    }
}

/// A matrix whose axis `at` is made of axes of these sizes, which come in another order.
fn reordered(
    constant: &crate::Constant,
    at: usize,
    sizes: &[usize],
    order: &Perm,
) -> Option<crate::Constant> {
    let &[rows, columns] = constant.dims.as_slice() else { return None };
    axis(at as i64, 2)?;
    let (split, order) = if at == 0 {
        let all = order.axes().iter().copied().chain([sizes.len()]).collect();
        ([sizes, &[columns]].concat(), Perm::new(all)?)
    } else {
        let all = [0].into_iter().chain(order.axes().iter().map(|axis| axis + 1)).collect();
        ([&[rows], sizes].concat(), Perm::new(all)?)
    };
    let moved = transposed(&reshaped(constant, &split), &order)?;
    Some(reshaped(&moved, &constant.dims))
}
