//! Pooling: the largest or the mean of each window, or of everything.

use super::arguments::Arguments;
use super::convolution::{self, Window};
use super::network::Network;
use super::{LayerError, LayerSpec};

pub(super) fn add_max_1d(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, ("MaxPool", 1))
}

pub(super) fn add_max_2d(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, ("MaxPool", 2))
}

pub(super) fn add_average_1d(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, ("AveragePool", 1))
}

pub(super) fn add_average_2d(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, ("AveragePool", 2))
}

fn add(
    network: &mut Network,
    layer: &LayerSpec,
    (op_type, rank): (&str, usize),
) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let kernel = arguments.size("size")?.unwrap_or(2);
    let stride = arguments.size("stride")?.unwrap_or(kernel);
    let padding = arguments.word("padding", &["valid", "same"])?;
    arguments.done()?;
    let channels = convolution::channels(network, layer, rank)?;
    let window = Window { kernel, stride, dilation: 1, same: padding == Some("same") };
    let sizes = window.sizes(network, layer)?;
    let pads = window.pads(&network.shape[1..]);
    let name = network.name(&layer.name);
    network.node(op_type, &[], &name, |node| {
        node.with("kernel_shape", vec![kernel as i64; rank].as_slice())
            .with("strides", vec![stride as i64; rank].as_slice())
            .with("pads", pads.as_slice())
    });
    network.shape = std::iter::once(channels).chain(sizes).collect();
    Ok(())
}

pub(super) fn add_global_average(
    network: &mut Network,
    layer: &LayerSpec,
) -> Result<(), LayerError> {
    add_global(network, layer, "GlobalAveragePool")
}

pub(super) fn add_global_max(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add_global(network, layer, "GlobalMaxPool")
}

/// One number a channel.
fn add_global(network: &mut Network, layer: &LayerSpec, op_type: &str) -> Result<(), LayerError> {
    Arguments::of(layer).done()?;
    if network.shape.len() < 2 || network.is_whole() {
        return Err(network.refuse_shape(layer, "channels and one or more axes of space"));
    }
    let name = network.name(&layer.name);
    network.node(op_type, &[], &format!("{name}.pool"), |node| node);
    network.node("Flatten", &[], &name, |node| node.with("axis", 1));
    network.shape.truncate(1);
    Ok(())
}
