//! `lstm`, `gru`: layers that read a sequence step by step.

use modelyard_graph::Node;

use super::arguments::Arguments;
use super::init::Init;
use super::network::Network;
use super::{LayerError, LayerSpec};

pub(super) fn add_lstm(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, ("LSTM", 4))
}

pub(super) fn add_gru(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, ("GRU", 3))
}

/// One example is [steps, features]; ONNX wants [steps, batch, features].
fn add(
    network: &mut Network,
    layer: &LayerSpec,
    (op_type, gates): (&str, usize),
) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let units = arguments.needed_size("units")?;
    let gives_sequences = arguments.flag("sequences", false)?;
    let is_bidirectional = arguments.flag("bidirectional", false)?;
    arguments.done()?;
    let &[steps, features] = network.shape.as_slice() else {
        return Err(network.refuse_shape(layer, "steps and features"));
    };
    if network.is_whole() {
        return Err(network.refuse_shape(layer, "floats; put an embedding before it"));
    }
    let name = network.name(&layer.name);
    let directions = 1 + usize::from(is_bidirectional);
    let rows = gates * units;
    let weights = ["input", "recurrent", "bias"].map(|part| format!("{name}.{part}"));
    for (weight, columns) in weights.iter().zip([features, units]) {
        let shape = [directions, rows, columns];
        let len = network.reserve(&shape)?;
        let values = Init::Glorot.weights(&mut network.random, len, (columns, units));
        network.weight(weight, &shape, values)?;
    }
    network.weight(
        &weights[2],
        &[directions, 2 * rows],
        bias(op_type, directions, units, gates),
    )?;

    network.node("Transpose", &[], &format!("{name}.steps_first"), |node| {
        node.with("perm", [1, 0, 2])
    });
    let (all, last) = (format!("{name}.all"), format!("{name}.last"));
    let outputs = if gives_sequences { [all.as_str(), ""] } else { ["", last.as_str()] };
    let inputs = [network.value.as_str(), &weights[0], &weights[1], &weights[2]];
    let mut node = Node::new(op_type, &inputs, &outputs).with("hidden_size", units as i64);
    node.name = name.clone();
    if is_bidirectional {
        node = node.with("direction", "bidirectional");
    }
    if op_type == "GRU" {
        node = node.with("linear_before_reset", 1);
    }
    network.push(node);
    // [steps, directions, batch, units] or [directions, batch, units] to batch first.
    let width = directions * units;
    let (value, order, shape): (_, &[i64], _) = if gives_sequences {
        (all, &[2, 0, 1, 3], vec![steps, width])
    } else {
        (last, &[1, 0, 2], vec![width])
    };
    network.value = value;
    network.node("Transpose", &[], &format!("{name}.batch_first"), |node| node.with("perm", order));
    let target = format!("{name}.shape");
    let dims: Vec<i64> = std::iter::once(0).chain(shape.iter().map(|&size| size as i64)).collect();
    // A 0 keeps the batch; all others are known.
    network.integers(&target, &dims);
    network.node("Reshape", &[&target], &format!("{name}.output"), |node| node);
    network.shape = shape;
    Ok(())
}

/// Zeros, but for the forget gate of an LSTM, which begins open: what was learned is not forgotten
/// at once (Jozefowicz et al.: An Empirical Exploration of Recurrent Network Architectures, 2015).
fn bias(op_type: &str, directions: usize, units: usize, gates: usize) -> Vec<f32> {
    let mut bias = vec![0.0; directions * 2 * gates * units];
    if op_type == "LSTM" {
        // ONNX's order of gates: input, output, forget, cell.
        for direction in bias.chunks_exact_mut(2 * gates * units) {
            direction[2 * units..3 * units].fill(1.0);
        }
    }
    bias
}
