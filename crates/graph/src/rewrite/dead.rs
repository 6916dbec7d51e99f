//! Removes what no output depends on.

use super::Options;
use super::net::{Net, Op, Source, ValueId};

/// Operators whose outputs may be left out, from this one on.
const OPTIONAL_OUTPUTS: &[(&str, usize)] = &[
    ("Dropout", 1),
    ("GRU", 0),
    ("LSTM", 0),
    ("LayerNormalization", 1),
    ("MaxPool", 1),
    ("RNN", 0),
];

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let alive = alive(net);
    let mut changed = false;
    for id in net.node_ids() {
        let Some(op) = net.op(id) else { continue };
        if !op.outputs.iter().flatten().any(|&output| alive[output]) {
            net.remove(id);
            changed = true;
        } else if let Some(from) = optional_from(op) {
            changed |= leave_out(net, id, from, &alive);
        }
    }
    for (value, data) in net.values.iter_mut().enumerate() {
        if !alive[value] && matches!(data.source, Source::Constant(_)) {
            data.source = Source::Gone;
            changed = true;
        }
    }
    changed
}

/// By value: whether an output depends on it.
fn alive(net: &mut Net) -> Vec<bool> {
    let mut alive = vec![false; net.values.len()];
    reach(net, &mut alive, net.outputs.clone());
    let quantized = std::mem::take(&mut net.quantization);
    for (tensor, parameters) in quantized {
        let values: Vec<ValueId> = parameters.iter().map(|(_, value)| *value).collect();
        if alive[tensor] {
            reach(net, &mut alive, values);
            net.quantization.push((tensor, parameters));
        }
    }
    alive
}

fn reach(net: &Net, alive: &mut [bool], mut stack: Vec<ValueId>) {
    while let Some(value) = stack.pop() {
        if std::mem::replace(&mut alive[value], true) {
            continue;
        }
        if let Some((_, op)) = net.producer_op(value) {
            stack.extend(op.inputs.iter().flatten());
            stack.extend(op.captured.iter().map(|(_, value)| *value));
        }
    }
}

fn optional_from(op: &Op) -> Option<usize> {
    let name = op.standard()?;
    OPTIONAL_OUTPUTS.iter().find(|(op_type, _)| *op_type == name).map(|(_, from)| *from)
}

/// Leaves out the outputs of a node that nobody uses.
fn leave_out(net: &mut Net, id: usize, from: usize, alive: &[bool]) -> bool {
    let Some(op) = net.op_mut(id) else { return false };
    let mut gone = Vec::new();
    for output in op.outputs.iter_mut().skip(from) {
        gone.extend(output.take_if(|value| !alive[*value]));
    }
    while op.outputs.len() > 1 && op.outputs.last() == Some(&None) {
        op.outputs.pop();
    }
    for &value in &gone {
        net.values[value].source = Source::Gone;
    }
    !gone.is_empty()
}
