//! Products of matrices as they were before an exporter made them of an Einsum: tf2onnx folds the
//! axes that both operands have into one, and gives operands axes of one element to permute. What
//! is left then is what attention looks like elsewhere.

use super::super::Options;
use super::super::list::{List, axes};
use super::super::net::{Net, NodeId, Op, ValueId};
use super::super::perm::Perm;
use super::super::reshapes::target;
use super::super::shapes::{Known, Size};
use super::replace::Fused;
use crate::Node;

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() {
        return false;
    }
    let mut changed = false;
    for id in net.node_ids() {
        if let Some(product) = net.op(id).and_then(|op| product(net, op)) {
            unfold(net, id, product);
            changed = true;
        }
    }
    for id in net.node_ids() {
        if let Some((x, perm)) = net.op(id).and_then(|op| permuted(net, op)) {
            let fused =
                Fused::of(Node::new("Transpose", &[], &[]).with("perm", perm.ints().as_slice()));
            fused.input(x).put(net, id);
            changed = true;
        }
    }
    changed
}

/// A product of operands whose leading axes are folded into one, and come apart after it.
struct Product {
    left: Operand,
    right: Operand,
}

struct Operand {
    /// What was folded.
    source: ValueId,
    /// Its shape with the leading axes apart.
    dims: Vec<Size>,
    /// How a Reshape says this; `None` if it has it.
    shape: Option<Vec<i64>>,
}

fn product(net: &Net, op: &Op) -> Option<Product> {
    let folded = op.input(0).filter(|_| op.is("Reshape"))?;
    let (_, product) = net.producer_op(folded).filter(|(_, op)| op.is("MatMul"))?;
    net.only_user(folded)?;
    let &[batch, heads, rows, columns] = net.dims(op.output(0)?)? else { return None };
    let &[both, left_rows, inner] = net.dims(product.input(0)?)? else { return None };
    let &[right_both, right_inner, right_columns] = net.dims(product.input(1)?)? else {
        return None;
    };
    let is_unfolded =
        both == right_both && inner == right_inner && [left_rows, right_columns] == [rows, columns];
    is_unfolded.then_some(())?;
    Some(Product {
        left: operand(net, product.input(0)?, [batch, heads, rows, inner])?,
        right: operand(net, product.input(1)?, [batch, heads, inner, columns])?,
    })
}

fn operand(net: &Net, folded: ValueId, dims: [Size; 4]) -> Option<Operand> {
    let (_, fold) = net.producer_op(folded).filter(|(_, op)| op.is("Reshape"))?;
    let source = fold.input(0)?;
    let before = net.dims(source)?;
    let shape = if before == dims { None } else { Some(target(before, &dims)?) };
    Some(Operand { source, dims: dims.to_vec(), shape })
}

fn unfold(net: &mut Net, id: NodeId, Product { left, right }: Product) {
    let [left, right] = [left, right].map(|operand| {
        let Operand { source, dims, shape } = operand;
        let Some(shape) = shape else { return source };
        let base = net.values[source].name.clone();
        let known = Known { rank: Some(4), dims: Some(dims), ..net.values[source].known.clone() };
        let shape = net.add_integers(&format!("{base}/shape"), &shape);
        net.add_node(Node::new("Reshape", &[], &[]), &[source, shape], (&base, known), id)
    });
    Fused::new("MatMul").input(left).input(right).put(net, id);
}

/// What a Reshape gives that takes away again the axes of one element that were added before a
/// Transpose: the original, transposed.
fn permuted(net: &Net, op: &Op) -> Option<(ValueId, Perm)> {
    let before = |op: &Op| Some(net.producer_op(op.input(0)?)?.1);
    op.is("Reshape").then_some(())?;
    let transpose = before(op).filter(|op| op.is("Transpose"))?;
    let unsqueeze = before(transpose).filter(|op| op.is("Unsqueeze"))?;
    let x = unsqueeze.input(0)?;
    let perm = Perm::of_ints(transpose.node.ints("perm")?)?;
    let added = axes(&List::new("axes", 1).of(net, unsqueeze).known()?, perm.rank())?;
    let kept: Vec<usize> =
        perm.axes().iter().copied().filter(|axis| !added.contains(axis)).collect();
    let perm = Perm::ranked(&kept);
    let dims = net.dims(x).filter(|dims| dims.len() == perm.rank())?;
    (perm.apply(dims) == net.dims(op.output(0)?)?).then_some((x, perm))
}
