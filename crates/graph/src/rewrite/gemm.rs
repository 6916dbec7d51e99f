//! MatMul and the Add of a bias are one Gemm, where there are rows and columns only.

use super::Options;
use super::net::{Net, NodeId, Op, ValueId};
use crate::ElementType;

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        let found = net.op(id).and_then(|op| product_and_bias(net, op));
        if let Some((product, bias, output)) = found {
            put(net, (id, product), bias, output);
            changed = true;
        }
    }
    changed
}

/// The MatMul before an Add, and the bias.
fn product_and_bias(net: &Net, op: &Op) -> Option<(NodeId, ValueId, ValueId)> {
    if !op.is("Add") {
        return None;
    }
    let [Some(one), Some(two)] = op.inputs[..] else { return None };
    let is_product = |value: ValueId| {
        let (id, before) = net.producer_op(value)?;
        let plain = before.is("MatMul") && net.only_user(value).is_some() && is_plain(net, before);
        plain.then_some(id)
    };
    let (product, value, bias) = match (is_product(one), is_product(two)) {
        (Some(id), _) => (id, one, two),
        (None, Some(id)) => (id, two, one),
        (None, None) => return None,
    };
    let output = op.output(0)?;
    let columns = net.dims(value)?.get(1)?.fixed()?;
    let constant = net.constant(bias)?;
    let fits = match constant.dims[..] {
        [size] | [1, size] => size == columns,
        _ => false,
    };
    (fits && constant.element_type == net.element_type(value)?).then_some((product, bias, output))
}

/// Whether a MatMul multiplies matrices of floats that were not quantized: engines look for a
/// MatMul between the operators of quantization.
fn is_plain(net: &Net, op: &Op) -> bool {
    let is_float = |value| {
        matches!(
            net.element_type(value),
            Some(ElementType::Float32 | ElementType::Float64 | ElementType::Float16)
        )
    };
    let is_dequantized =
        |value| net.producer_op(value).is_some_and(|(_, before)| before.is("DequantizeLinear"));
    op.inputs
        .iter()
        .flatten()
        .all(|&value| net.rank(value) == Some(2) && is_float(value) && !is_dequantized(value))
}

fn put(net: &mut Net, (add, product): (NodeId, NodeId), bias: ValueId, output: ValueId) {
    if let Some(op) = net.op_mut(product) {
        op.node.op_type = "Gemm".into();
    }
    net.set_input(product, 2, Some(bias));
    if let Some(value) = net.op(product).and_then(Op::single_output) {
        net.replace(output, value);
    }
    net.remove(add);
}
