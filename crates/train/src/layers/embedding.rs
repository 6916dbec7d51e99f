//! `embedding`: each whole number becomes a row of a table.

use super::arguments::Arguments;
use super::network::Network;
use super::{LayerError, LayerSpec};
use crate::math::random;
use modelyard_graph::Node;

pub(super) fn add(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let vocabulary = arguments.needed_size("vocabulary")?;
    let size = arguments.needed_size("size")?;
    arguments.done()?;
    if !network.is_whole() {
        return Err(network.refuse_shape(layer, "whole numbers (INT64), as the first layer"));
    }
    let name = network.name("embedding");
    let weight = format!("{name}.weight");
    let len = network.reserve(&[vocabulary, size])?;
    let values = (0..len).map(|_| random::normal(&mut network.random) * 0.05).collect();
    network.weight(&weight, &[vocabulary, size], values)?;
    let mut node = Node::new("Gather", &[&weight, &network.value], &[&name]);
    node.name = name.clone();
    network.push(node.with("axis", 0));
    network.value = name;
    network.shape.push(size);
    network.becomes_floats();
    Ok(())
}
