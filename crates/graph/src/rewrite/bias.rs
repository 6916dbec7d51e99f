//! Lets convolutions and products of matrices add the bias that is added after them.

use super::Options;
use super::net::{Net, NodeId, Op, ValueId};
use super::tensor::reshaped;
use crate::{Constant, ElementType};

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        let found = net.op(id).and_then(|op| biased(net, op));
        if let Some(biased) = found {
            put(net, id, biased);
            changed = true;
        }
    }
    changed
}

/// An operator with a bias after it.
struct Biased {
    node: NodeId,
    operator: &'static str,
    bias: Bias,
    output: ValueId,
}

enum Bias {
    /// As it is.
    Value(ValueId),
    /// In another shape.
    Constant(Constant),
}

fn biased(net: &Net, op: &Op) -> Option<Biased> {
    let (true, &[Some(one), Some(two)]) = (op.is("Add"), op.inputs.as_slice()) else { return None };
    let before = |value: ValueId| {
        let (id, before) = net.producer_op(value)?;
        let takes_bias = matches!(before.standard(), Some("Conv" | "ConvTranspose" | "MatMul"));
        let is_free = net.only_user(value).is_some() && before.input(2).is_none();
        (takes_bias && is_free && is_plain(net, before)).then_some((id, before))
    };
    let ((node, before), value, added) = match (before(one), before(two)) {
        (Some(before), _) => (before, one, two),
        (None, Some(before)) => (before, two, one),
        (None, None) => return None,
    };
    let constant = net.constant(added)?;
    (constant.element_type == net.element_type(value)?).then_some(())?;
    let size = |axis: usize| net.dims(value)?.get(axis)?.fixed();
    let (operator, bias) = match before.standard()? {
        "MatMul" => {
            let is_matrix = |slot: usize| net.rank(before.input(slot)?).filter(|&rank| rank == 2);
            (is_matrix(0)? == is_matrix(1)?).then_some(())?;
            matches!(constant.dims[..], [columns] | [1, columns] if Some(columns) == size(1))
                .then_some(("Gemm", Bias::Value(added)))?
        }
        operator => {
            let operator = if operator == "Conv" { "Conv" } else { "ConvTranspose" };
            (operator, Bias::Constant(by_channel(constant, net.rank(value)?, size(1)?)?))
        }
    };
    Some(Biased { node, operator, bias, output: op.output(0)? })
}

/// Whether an operator takes floats that were not quantized: engines look for operators without
/// a bias of floats between those of quantization.
fn is_plain(net: &Net, op: &Op) -> bool {
    let is_float = |value| {
        matches!(
            net.element_type(value),
            Some(ElementType::Float32 | ElementType::Float64 | ElementType::Float16)
        )
    };
    let is_dequantized =
        |value| net.producer_op(value).is_some_and(|(_, before)| before.is("DequantizeLinear"));
    op.inputs.iter().flatten().all(|&value| is_float(value) && !is_dequantized(value))
}

/// A constant as a list of one number for each channel, if it is that: axis 1 of this rank.
fn by_channel(constant: &Constant, rank: usize, channels: usize) -> Option<Constant> {
    let missing = rank.checked_sub(constant.dims.len())?;
    let place = 1usize.checked_sub(missing)?;
    let is_channel =
        |(axis, &size): (usize, &usize)| size == if axis == place { channels } else { 1 };
    let fits = constant.dims.iter().enumerate().all(is_channel) && constant.external().is_none();
    (fits && constant.dims.len() > place).then(|| reshaped(constant, &[channels]))
}

fn put(net: &mut Net, add: NodeId, biased: Biased) {
    let Biased { node, operator, bias, output } = biased;
    let bias = match bias {
        Bias::Value(value) => value,
        Bias::Constant(constant) => net.add_constant(constant),
    };
    if let Some(op) = net.op_mut(node) {
        op.node.op_type = operator.into();
    }
    net.set_input(node, 2, Some(bias));
    if let Some(value) = net.op(node).and_then(Op::single_output) {
        net.replace(output, value);
    }
    net.remove(add);
}
