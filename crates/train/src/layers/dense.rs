//! `dense`: every output from every input.

use super::arguments::Arguments;
use super::init::{self, Init};
use super::network::Network;
use super::{LayerError, LayerSpec, activation, shape};

pub(super) fn add(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let units = arguments.needed_size("units")?;
    let activation = arguments.word("activation", activation::WORDS)?;
    let has_bias = arguments.flag("bias", true)?;
    let init = arguments.word("init", init::WORDS)?;
    arguments.done()?;
    if network.is_whole() {
        return Err(network.refuse_shape(layer, "floats; put an embedding before it"));
    }
    if network.shape.len() != 1 {
        shape::flatten(network);
    }
    let inputs = network.shape[0];
    let name = network.name("dense");
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let len = network.reserve(&[inputs, units])?;
    let values = Init::of(init, activation).weights(&mut network.random, len, (inputs, units));
    network.weight(&weight, &[inputs, units], values)?;
    let output = format!("{name}.sum");
    if has_bias {
        network.weight(&bias, &[units], vec![0.0; units])?;
        network.node("Gemm", &[&weight, &bias], &output, |node| node);
    } else {
        network.node("MatMul", &[&weight], &output, |node| node);
    }
    network.shape = vec![units];
    activation::add(network, activation.unwrap_or("none"), &name);
    Ok(())
}
