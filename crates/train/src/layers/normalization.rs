//! `batchnorm`, `layernorm`, `dropout`: layers that make training steadier.

use super::arguments::Arguments;
use super::network::Network;
use super::{LayerError, LayerSpec};

pub(super) fn add_batch(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let momentum = arguments.number("momentum", 0.9, 0.0..1.0)?;
    let epsilon = arguments.number("epsilon", 1e-5, 0.0..1.0)?;
    arguments.done()?;
    let channels = first_axis(network, layer)?;
    let name = network.name("batchnorm");
    let parts = ["scale", "bias", "mean", "variance"].map(|part| format!("{name}.{part}"));
    for (part, value) in parts.iter().zip([1.0, 0.0, 0.0, 1.0]) {
        network.weight(part, &[channels], vec![value; channels])?;
    }
    let others = parts.each_ref().map(String::as_str);
    network.node("BatchNormalization", &others, &name, |node| {
        node.with("momentum", momentum).with("epsilon", epsilon)
    });
    Ok(())
}

pub(super) fn add_layer(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let epsilon = arguments.number("epsilon", 1e-5, 0.0..1.0)?;
    arguments.done()?;
    first_axis(network, layer)?;
    let size = network.shape[network.shape.len() - 1];
    let name = network.name("layernorm");
    let (scale, bias) = (format!("{name}.scale"), format!("{name}.bias"));
    network.weight(&scale, &[size], vec![1.0; size])?;
    network.weight(&bias, &[size], vec![0.0; size])?;
    network.node("LayerNormalization", &[&scale, &bias], &name, |node| {
        node.with("axis", -1).with("epsilon", epsilon)
    });
    Ok(())
}

pub(super) fn add_dropout(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let ratio = arguments.number("ratio", 0.5, 0.0..1.0)?;
    arguments.done()?;
    first_axis(network, layer)?;
    let name = network.name("dropout");
    let input = format!("{name}.ratio");
    network.weight(&input, &[], vec![ratio])?;
    network.node("Dropout", &[&input], &name, |node| node);
    Ok(())
}

/// Size of the first axis of one example: channels, or features. It must be one of floats.
fn first_axis(network: &Network, layer: &LayerSpec) -> Result<usize, LayerError> {
    match network.shape.first() {
        Some(&size) if !network.is_whole() => Ok(size),
        _ => Err(network.refuse_shape(layer, "floats with at least one axis")),
    }
}
