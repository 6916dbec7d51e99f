//! `conv1d`, `conv2d`: the same small dense layer at every place of a signal or an image.

use super::arguments::Arguments;
use super::init::{self, Init};
use super::network::Network;
use super::{LayerError, LayerSpec, activation};

pub(super) fn add_1d(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, 1)
}

pub(super) fn add_2d(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    add(network, layer, 2)
}

fn add(network: &mut Network, layer: &LayerSpec, rank: usize) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let filters = arguments.needed_size("filters")?;
    let kernel = arguments.needed_size("kernel")?;
    let activation = arguments.word("activation", activation::WORDS)?;
    let stride = arguments.size("stride")?.unwrap_or(1);
    let padding = arguments.word("padding", &["valid", "same"])?;
    let dilation = arguments.size("dilation")?.unwrap_or(1);
    let groups = arguments.size("groups")?.unwrap_or(1);
    let has_bias = arguments.flag("bias", true)?;
    let init = arguments.word("init", init::WORDS)?;
    let channels = channels(network, layer, rank)?;
    if channels % groups != 0 || filters % groups != 0 {
        let text =
            format!("expected {groups} groups to divide {channels} channels and {filters} filters");
        return Err(arguments.refuse(&text));
    }
    arguments.done()?;
    let window = Window { kernel, stride, dilation, same: padding == Some("same") };
    let sizes = window.sizes(network, layer)?;

    let name = network.name(&format!("conv{rank}d"));
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let mut shape = vec![filters, channels / groups];
    shape.extend(vec![kernel; rank]);
    let len = network.reserve(&shape)?;
    let fan = (len / filters, len / (channels / groups));
    let values = Init::of(init, activation).weights(&mut network.random, len, fan);
    network.weight(&weight, &shape, values)?;
    let mut weights = vec![weight.as_str()];
    if has_bias {
        network.weight(&bias, &[filters], vec![0.0; filters])?;
        weights.push(&bias);
    }
    let pads = window.pads(&network.shape[1..]);
    network.node("Conv", &weights, &format!("{name}.sum"), |node| {
        node.with("kernel_shape", vec![kernel as i64; rank].as_slice())
            .with("strides", vec![stride as i64; rank].as_slice())
            .with("dilations", vec![dilation as i64; rank].as_slice())
            .with("pads", pads.as_slice())
            .with("group", groups as i64)
    });
    network.shape = std::iter::once(filters).chain(sizes).collect();
    activation::add(network, activation.unwrap_or("none"), &name);
    Ok(())
}

/// Channels of the current value, which must have `rank` axes of space behind them. An image
/// without channels gets one.
pub(super) fn channels(
    network: &mut Network,
    layer: &LayerSpec,
    rank: usize,
) -> Result<usize, LayerError> {
    if network.is_whole() {
        return Err(network.refuse_shape(layer, "floats; put an embedding before it"));
    }
    if network.shape.len() == rank && !network.shape.is_empty() {
        let name = network.name("unsqueeze");
        let axes = format!("{name}.axes");
        network.integers(&axes, &[1]);
        network.node("Unsqueeze", &[&axes], &name, |node| node);
        network.shape.insert(0, 1);
    }
    if network.shape.len() != rank + 1 {
        let expected = if rank == 1 { "channels and length" } else { "channels, height and width" };
        return Err(network.refuse_shape(layer, expected));
    }
    Ok(network.shape[0])
}

/// A window that slides over space, alike along every axis.
pub(super) struct Window {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Whether there is padding such that the output has the input's size divided by the stride.
    pub(super) same: bool,
}

impl Window {
    fn span(&self) -> usize {
        self.dilation.saturating_mul(self.kernel - 1).saturating_add(1)
    }

    /// Sizes of the output along the axes of space.
    pub(super) fn sizes(
        &self,
        network: &Network,
        layer: &LayerSpec,
    ) -> Result<Vec<usize>, LayerError> {
        let size = |&size: &usize| {
            if self.same {
                return Ok(size.div_ceil(self.stride));
            }
            match size.checked_sub(self.span()) {
                Some(room) => Ok(room / self.stride + 1),
                None => Err(network.refuse_shape(
                    layer,
                    &format!("at least {} along every axis of space", self.span()),
                )),
            }
        };
        network.shape[1..].iter().map(size).collect()
    }

    /// ONNX's pads: all at the beginning of the axes, then all at the end; the odd one at the end.
    pub(super) fn pads(&self, sizes: &[usize]) -> Vec<i64> {
        let total = sizes.iter().map(|&size| {
            let outputs = size.div_ceil(self.stride);
            let covered = (outputs - 1).saturating_mul(self.stride).saturating_add(self.span());
            if self.same { covered.saturating_sub(size) as i64 } else { 0 }
        });
        let total: Vec<i64> = total.collect();
        let begin = total.iter().map(|pad| pad / 2);
        begin.chain(total.iter().map(|pad| pad - pad / 2)).collect()
    }
}
