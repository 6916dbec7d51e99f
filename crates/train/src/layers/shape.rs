//! `flatten`: an example becomes one row of numbers.

use super::arguments::Arguments;
use super::network::Network;
use super::{LayerError, LayerSpec};

pub(super) fn add_flatten(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    Arguments::of(layer).done()?;
    flatten(network);
    Ok(())
}

/// Makes one row of each example.
pub(super) fn flatten(network: &mut Network) {
    let name = network.name("flatten");
    network.node("Flatten", &[], &name, |node| node.with("axis", 1));
    network.shape = vec![network.shape.iter().product()];
}
