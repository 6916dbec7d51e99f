//! Convolutions: filters `[out, height, width, in]`, and for each channel apart
//! `[1, height, width, out]`.

use modelyard_graph::Node;

use super::super::super::graph::makeable;
use super::super::constants::reals;
use super::super::file::Quantization;
use super::super::options::{self, Slide};
use super::super::stop::{Stop, refused};
use super::super::writer::{INT32, Id, UNKNOWN_SHAPE, Writer};
use crate::tflite::schema::{Activation, Padding};

/// The strides and the padding that a node states.
pub(super) fn slide(node: &Node) -> Result<Slide, Stop> {
    Ok(Slide {
        padding: padding(node),
        strides: pair(node, "strides")?,
        dilations: pair(node, "dilations")?,
    })
}

pub(super) fn padding(node: &Node) -> Padding {
    match node.string("auto_pad") {
        Some("SAME_UPPER") => Padding::Same,
        _ => Padding::Valid,
    }
}

/// A size for each of two dimensions of space.
pub(super) fn pair(node: &Node, name: &str) -> Result<[i32; 2], Stop> {
    sizes(node, name)
}

/// A size for each dimension of space; 1 where nothing is stated.
pub(super) fn sizes<const N: usize>(node: &Node, name: &str) -> Result<[i32; N], Stop> {
    let Some(list) = node.ints(name) else { return Ok([1; N]) };
    let sizes: Option<Vec<i32>> = list.iter().map(|&size| i32::try_from(size).ok()).collect();
    let sizes = sizes.and_then(|sizes| <[i32; N]>::try_from(sizes).ok());
    sizes.ok_or_else(|| refused(format!("{name} {list:?}"), ""))
}

/// A weighted sum: what it takes, with its weights in the order of axes that is wanted.
pub(super) struct Weighted<'n> {
    /// The name of what is weighted.
    pub(super) input: &'n str,
    /// The name of the weights.
    pub(super) weights: &'n str,
    /// Where the axes of the weights come from.
    pub(super) order: Vec<usize>,
    /// The axis of the channels that are given, in that order.
    pub(super) channels: usize,
    /// The name of the bias, and of a factor on it.
    pub(super) bias: Option<&'n str>,
    /// The name of what is given, behind an activation.
    pub(super) output: &'n str,
}

/// Tensors of a weighted sum.
pub(super) struct Tensors {
    pub(super) input: Id,
    pub(super) weights: Id,
    pub(super) bias: Id,
    pub(super) output: Id,
}

impl Writer<'_> {
    /// The tensors of a weighted sum: of integers where all that it takes and gives is quantized.
    pub(super) fn weighted(&mut self, sum: &Weighted<'_>) -> Result<Tensors, Stop> {
        if let Some(tensors) = self.weighted_integers(sum)? {
            return Ok(tensors);
        }
        let input = self.value(sum.input)?;
        let weights = match self.stored(sum.weights)? {
            Some(stored) => self.stored_tensor(stored, Some(&sum.order))?,
            None => {
                let id = self.value(sum.weights)?;
                self.transposed(id, &sum.order)
            }
        };
        let bias = match sum.bias {
            Some(bias) => self.value(bias)?,
            None => {
                let channels = self.tensor(weights).dims.get(sum.channels).copied().flatten();
                let channels = channels.filter(|&channels| makeable(&[channels]).is_some());
                let channels = channels.ok_or_else(|| {
                    refused("weights of an open size, or too large", UNKNOWN_SHAPE)
                })?;
                self.floats("bias", &[channels], &vec![0.0; channels])
            }
        };
        let output = self.output(sum.output)?;
        Ok(Tensors { input, weights, bias, output })
    }

    fn weighted_integers(&mut self, sum: &Weighted<'_>) -> Result<Option<Tensors>, Stop> {
        let (Some(input), Some(wanted)) = (self.quantized(sum.input), self.wanted(sum.output))
        else {
            return Ok(None);
        };
        let Some(weights) = self.stored(sum.weights)? else { return Ok(None) };
        let Some(quantization) = weights.quantization.clone() else { return Ok(None) };
        let is_small = weights.constant.element_type == modelyard_graph::ElementType::Int8;
        let is_centered = quantization.zero_points.iter().all(|&zero_point| zero_point == 0);
        let by_channel = quantization.scales.len() == 1
            || sum.order.get(sum.channels) == Some(&quantization.axis);
        let bias = match sum.bias {
            Some(bias) => self.stored(bias)?.and_then(|stored| reals(&stored)),
            None => Some(Vec::new()),
        };
        let scale = self.quantization(input).and_then(|one| one.scales.first().copied());
        let (Some(bias), Some(scale), true) = (bias, scale, is_small && is_centered && by_channel)
        else {
            return Ok(None);
        };
        let channels =
            sum.order.get(sum.channels).and_then(|&axis| weights.constant.dims.get(axis));
        let channels = channels.copied().unwrap_or(0);
        let Some(bias) = self.integer_bias(&bias, channels, (scale, &quantization.scales)) else {
            return Ok(None);
        };
        let weights = self.raw_tensor(weights, Some(&sum.order))?;
        let output = self.quantized_output(sum.output, wanted);
        Ok(Some(Tensors { input, weights, bias, output }))
    }

    /// A bias as integers of the products of the scales.
    fn integer_bias(
        &mut self,
        bias: &[f32],
        channels: usize,
        (scale, weights): (f32, &[f32]),
    ) -> Option<Id> {
        let scales: Vec<f32> = weights.iter().map(|weight| scale * weight).collect();
        let mut bytes = Vec::new();
        for channel in 0..channels {
            let value = match bias.len() {
                0 => 0.0,
                1 => bias[0],
                _ => *bias.get(channel)?,
            };
            let scale = *scales.get(channel).or(scales.first())?;
            let steps = (f64::from(value) / f64::from(scale)).round();
            let is_small = steps.abs() < f64::from(i32::MAX);
            is_small.then_some(())?;
            bytes.extend((steps as i32).to_le_bytes());
        }
        let name = format!("{}/bias", self.label());
        let id = self.constant(&name, INT32, &[channels], bytes);
        let zero_points = vec![0; scales.len()];
        self.file.tensors[id].quantization = Some(Quantization { scales, zero_points, axis: 0 });
        Some(id)
    }
}

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (Some(input), Some(weights), Some(output)) = (node.input(0), node.input(1), node.output(0))
    else {
        return Err(refused("a convolution without weights", ""));
    };
    let sizes = cx.facts.sizes(weights);
    let channels = cx.known_dims(input)?.last().copied().flatten();
    let (Some(sizes), Some(channels)) = (sizes, channels) else {
        return Err(refused("a number of channels that is not fixed", ""));
    };
    let groups = node.int("group").unwrap_or(1);
    let (fused, output) = cx.fused(output);
    let bias = node.input(2);
    match sizes.len() {
        4 if groups > 1 && usize::try_from(groups) == Ok(channels) => {
            // Each channel apart: `[out, 1, height, width]`.
            let order = vec![1, 2, 3, 0];
            let sum = Weighted { input, weights, order, channels: 3, bias, output };
            let tensors = cx.weighted(&sum)?;
            let multiplier = i32::try_from(sizes[0] / channels.max(1)).unwrap_or(1);
            let options = options::depthwise(slide(node)?, multiplier, fused);
            cx.finish("DEPTHWISE_CONV_2D", &tensors, options);
        }
        4 => {
            let order = vec![0, 2, 3, 1];
            let sum = Weighted { input, weights, order, channels: 0, bias, output };
            let tensors = cx.weighted(&sum)?;
            cx.finish("CONV_2D", &tensors, options::conv(slide(node)?, fused));
        }
        5 if groups == 1 => solid(cx, node, (input, weights, output), fused)?,
        _ => {
            let reason = format!("{groups} groups of {} dimensions", sizes.len());
            return Err(refused(reason, ""));
        }
    }
    Ok(())
}

/// Three dimensions of space: filters `[depth, height, width, in, out]`.
fn solid<'a>(
    cx: &mut Writer<'a>,
    node: &'a Node,
    (input, weights, output): (&'a str, &'a str, &'a str),
    fused: Activation,
) -> Result<(), Stop> {
    let id = cx.value(input)?;
    let stored = cx.stored(weights)?;
    let stored = stored.ok_or_else(|| refused("weights that are computed", ""))?;
    let channels = stored.constant.dims.first().copied().unwrap_or(0);
    let weights = cx.stored_tensor(stored, Some(&[2, 3, 4, 1, 0]))?;
    let bias = match node.input(2) {
        Some(bias) => cx.value(bias)?,
        None => cx.floats("bias", &[channels], &vec![0.0; channels]),
    };
    let output = cx.output(output)?;
    let strides = sizes::<3>(node, "strides")?;
    let dilations = sizes::<3>(node, "dilations")?;
    let options = options::conv_3d(padding(node), strides, dilations, fused);
    cx.finish("CONV_3D", &Tensors { input: id, weights, bias, output }, options);
    Ok(())
}

impl Writer<'_> {
    /// Writes the operator of a weighted sum.
    pub(super) fn finish(
        &mut self,
        operator: &'static str,
        tensors: &Tensors,
        options: options::Options,
    ) {
        let inputs = [Some(tensors.input), Some(tensors.weights), Some(tensors.bias)];
        self.with(operator, &inputs, &[tensors.output], Some(options));
    }

    /// A tensor with its axes in another order.
    pub(super) fn transposed(&mut self, id: Id, order: &[usize]) -> Id {
        if order.iter().enumerate().all(|(place, &axis)| place == axis) {
            return id;
        }
        let dims = &self.tensor(id).dims;
        let dims: Vec<Option<usize>> =
            order.iter().map(|&axis| dims.get(axis).copied().flatten()).collect();
        let output = self.between("TRANSPOSE", id, &dims);
        let order: Vec<i32> = order.iter().map(|&axis| axis as i32).collect();
        let order = self.list(&order);
        self.plain("TRANSPOSE", &[id, order], output);
        output
    }
}
