//! `residual`: layers whose result is added to what they were given (He et al.: Deep Residual
//! Learning for Image Recognition, 2016). Where shapes differ, a 1x1 convolution (or a dense
//! layer) brings the input to the shape of the result.

use super::arguments::Arguments;
use super::init::Init;
use super::network::Network;
use super::{LayerError, LayerSpec, activation};

pub(super) fn add(network: &mut Network, layer: &LayerSpec) -> Result<(), LayerError> {
    let mut arguments = Arguments::of(layer);
    let layers = arguments.layers()?;
    let activation = arguments.word("activation", activation::WORDS)?;
    arguments.done()?;
    let name = network.name("residual");
    let (input, input_shape) = (network.value.clone(), network.shape.clone());
    network.within(&name, |network| layers.iter().try_for_each(|layer| network.add(layer)))?;
    let (result, shape) = (network.value.clone(), network.shape.clone());
    network.value = input;
    if input_shape != shape {
        project(network, (&name, layer), &input_shape, &shape)?;
    }
    network.node("Add", &[&result], &format!("{name}.add"), |node| node);
    network.shape = shape;
    activation::add(network, activation.unwrap_or("none"), &name);
    Ok(())
}

/// Brings the current value from one shape to another.
fn project(
    network: &mut Network,
    (name, layer): (&str, &LayerSpec),
    from: &[usize],
    to: &[usize],
) -> Result<(), LayerError> {
    let weight = format!("{name}.projection");
    let refuse = || {
        LayerError::new(format!(
            "layer '{layer}': its layers turn shape {from:?} into {to:?}, which cannot be added"
        ))
    };
    let (inputs, outputs) = match (from.first(), to.first()) {
        (Some(&inputs), Some(&outputs)) if from.len() == to.len() => (inputs, outputs),
        _ => return Err(refuse()),
    };
    let space = from[1..].iter().zip(&to[1..]);
    let strides: Vec<i64> =
        space.clone().map(|(&from, &to)| from.div_ceil(to.max(1)) as i64).collect();
    if space
        .zip(&strides)
        .any(|((&from, &to), &stride)| from.div_ceil(stride.max(1) as usize) != to)
    {
        return Err(refuse());
    }
    let len = network.reserve(&[inputs, outputs])?;
    let values = Init::Glorot.weights(&mut network.random, len, (inputs, outputs));
    let output = format!("{name}.projected");
    if strides.is_empty() {
        network.weight(&weight, &[inputs, outputs], values)?;
        network.node("MatMul", &[&weight], &output, |node| node);
    } else {
        let mut shape = vec![outputs, inputs];
        shape.extend(vec![1; strides.len()]);
        network.weight(&weight, &shape, values)?;
        let kernel = vec![1; strides.len()];
        network.node("Conv", &[&weight], &output, |node| {
            node.with("kernel_shape", kernel.as_slice()).with("strides", strides.as_slice())
        });
    }
    Ok(())
}
