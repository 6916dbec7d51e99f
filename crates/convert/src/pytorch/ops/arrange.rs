//! Elements in other places: rolled, turned around, shuffled.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, TO_THE_END, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::graph::Size;
use crate::reference::{Array, shape};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.roll.default", "self shifts dims", convert_roll, evaluate_roll),
    operator("aten.flip.default", "self dims", convert_flip, evaluate_flip),
    operator(
        "aten.pixel_shuffle.default",
        "self upscale_factor",
        convert_shuffle,
        evaluate_shuffle,
    ),
    operator(
        "aten.pixel_unshuffle.default",
        "self downscale_factor",
        convert_unshuffle,
        evaluate_unshuffle,
    ),
    operator("aten.channel_shuffle.default", "self groups", convert_channels, evaluate_channels),
    operator(
        "aten.native_channel_shuffle.default",
        "self groups",
        convert_channels,
        evaluate_channels,
    ),
];

fn convert_roll(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let shifts = call.extents("shifts")?;
    let dims = call.ints_or("dims", &[])?;
    if dims.is_empty() {
        let flat = call.to.ints(&[-1]);
        let name = call.to.emit("Reshape", &[&own.name, &flat]);
        let shift = shifts.first().cloned().unwrap_or(Extent::Known(0));
        let rolled = rolled(call, &name, 0, &shift);
        let from = Tensor { name: rolled, sizes: Vec::new(), ..own.clone() };
        let extents = call.to.sizes(&own);
        let result = call.to.reshape(&from, &own.sizes, Some(&extents));
        call.give(0, result);
        return Ok(());
    }
    let mut name = own.name.clone();
    for (shift, &axis) in shifts.iter().zip(&dims) {
        let axis = crate::pytorch::convert::counted(axis, own.rank())
            .ok_or_else(|| Refusal::new(format!("axis {axis}"), ""))?;
        let size = own.sizes.get(axis).and_then(Size::known).filter(|&size| size > 0);
        let shift = match (shift, size) {
            (Extent::Known(shift), Some(size)) => Extent::Known(shift.rem_euclid(size)),
            (shift, _) => shift.clone(),
        };
        if shift != Extent::Known(0) {
            name = rolled(call, &name, axis, &shift);
        }
    }
    call.give(0, name);
    Ok(())
}

/// The last elements in front.
fn rolled(call: &mut Call<'_, '_>, name: &str, axis: usize, shift: &Extent) -> String {
    let cut = call.to.combine("Sub", &Extent::Known(0), shift, i64::checked_sub);
    let last = call.to.slice(name, axis, &cut, &Extent::Known(TO_THE_END), 1);
    let first = call.to.slice(name, axis, &Extent::Known(0), &cut, 1);
    call.to.concat(&[last, first], axis as i64)
}

fn evaluate_roll(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let (shifts, dims) = (eval.ints("shifts")?, eval.axes("dims", own.rank())?);
    if dims.is_empty() {
        let flat = own.as_ref().clone().reshaped(&[own.len()])?;
        let shift = shifts.first().copied().unwrap_or(0);
        return one(roll_axis(&flat, shift, 0)?.reshaped(own.dims()));
    }
    let mut result = own.as_ref().clone();
    for (&shift, &axis) in shifts.iter().zip(&dims) {
        result = roll_axis(&result, shift, axis)?;
    }
    one(Ok(result))
}

fn roll_axis(array: &Array, shift: i64, axis: usize) -> Result<Array, EvaluateError> {
    let size = array.dims().get(axis).copied().unwrap_or(0);
    if size == 0 {
        return Ok(array.clone());
    }
    let shift = shift.rem_euclid(size as i64) as usize;
    let last = shape::narrow(array, axis as i64, size - shift, shift)?;
    let first = shape::narrow(array, axis as i64, 0, size - shift)?;
    shape::concat(&[&last, &first], axis as i64)
}

fn convert_flip(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let mut name = own.name.clone();
    for axis in call.ints("dims")? {
        let axis = crate::pytorch::convert::counted(axis, own.rank())
            .ok_or_else(|| Refusal::new(format!("axis {axis}"), ""))?;
        let (start, end) = (Extent::Known(-1), Extent::Known(i64::MIN + 1));
        name = call.to.slice(&name, axis, &start, &end, -1);
    }
    call.give(0, name);
    Ok(())
}

fn evaluate_flip(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let dims: Vec<i64> =
        eval.axes("dims", own.rank())?.into_iter().map(|axis| axis as i64).collect();
    one(shape::flip(&own, &dims))
}

/// Depth to space, with the channels in PyTorch's order.
fn convert_shuffle(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let factor = call.int("upscale_factor")?;
    give_image(call, &own, |call, name| {
        let shuffle = node("DepthToSpace", &[name]).with("blocksize", factor).with("mode", "CRD");
        call.to.emit_node(shuffle)
    })
}

/// Gives a function of a batch of images; single images and more axes in front are a batch too.
fn give_image(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    function: impl FnOnce(&mut Call<'_, '_>, &str) -> String,
) -> Result<(), Refusal> {
    match own.rank() {
        4 => {
            let result = function(call, &own.name);
            call.give(0, result);
        }
        3 => {
            let image = call.to.unsqueeze(&own.name, &[0]);
            let result = function(call, &image);
            let result = call.to.squeeze(&result, &[0]);
            call.give(0, result);
        }
        rank => return Err(Refusal::new(format!("images with {rank} axes"), "use 4 axes")),
    }
    Ok(())
}

fn convert_unshuffle(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let factor = call.int("downscale_factor")?;
    let size = |behind: usize| {
        let at = own.rank().checked_sub(behind)?;
        own.sizes.get(at)?.known()
    };
    let (Some(channels), Some(height), Some(width)) = (size(3), size(2), size(1)) else {
        return Err(Refusal::new("an image of unknown size", "export it with a fixed size"));
    };
    if factor <= 0 || height % factor != 0 || width % factor != 0 {
        return Err(Refusal::new(format!("a factor of {factor}"), ""));
    }
    // [n, c, h, f, w, f] with both factors moved behind the channels.
    give_image(call, &own, |call, name| {
        let split = [-1, channels, height / factor, factor, width / factor, factor];
        let split = call.to.ints(&split);
        let split = call.to.emit("Reshape", &[name, &split]);
        let turned = call.to.transpose(&split, &[0, 1, 3, 5, 2, 4]);
        let joined = channels.saturating_mul(factor).saturating_mul(factor);
        let joined = [-1, joined, height / factor, width / factor];
        let joined = call.to.ints(&joined);
        call.to.emit("Reshape", &[&turned, &joined])
    })
}

/// The last three sizes of images, and how many images there are.
fn image(own: &Array) -> Result<(usize, [usize; 3]), EvaluateError> {
    match own.dims() {
        [batch @ .., c, h, w] => Ok((batch.iter().product(), [*c, *h, *w])),
        found => Err(EvaluateError::new(format!("shape {found:?} is no image"))),
    }
}

fn evaluate_shuffle(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let factor = usize::try_from(eval.int("upscale_factor")?).unwrap_or(0).max(1);
    let (batch, [channels, height, width]) = image(&own)?;
    let inner = channels / (factor * factor).max(1);
    let split = own.as_ref().clone().reshaped(&[batch, inner, factor, factor, height, width])?;
    let turned = shape::transpose(&split, &[0, 1, 4, 2, 5, 3])?;
    let mut dims = own.dims()[..own.rank() - 3].to_vec();
    dims.extend([inner, height * factor, width * factor]);
    one(turned.reshaped(&dims))
}

fn evaluate_unshuffle(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let factor = usize::try_from(eval.int("downscale_factor")?).unwrap_or(0).max(1);
    let (batch, [channels, height, width]) = image(&own)?;
    let (h, w) = (height / factor, width / factor);
    let split = own.as_ref().clone().reshaped(&[batch, channels, h, factor, w, factor])?;
    let turned = shape::transpose(&split, &[0, 1, 3, 5, 2, 4])?;
    let mut dims = own.dims()[..own.rank() - 3].to_vec();
    dims.extend([channels * factor * factor, h, w]);
    one(turned.reshaped(&dims))
}

/// The channels of all groups taken in turn.
fn convert_channels(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let groups = call.int("groups")?;
    const MOST: i64 = 1 << 20;
    let channels = own.sizes.get(1).and_then(Size::known);
    let Some(channels) = channels.filter(|&channels| groups > 0 && channels <= MOST) else {
        return Err(Refusal::new("an unknown number of channels", "export it with a fixed number"));
    };
    let places: Vec<i64> =
        (0..channels).map(|at| at % groups * (channels / groups) + at / groups).collect();
    let places = call.to.ints(&places);
    let result = call.to.emit_node(node("Gather", &[&own.name, &places]).with("axis", 1i64));
    call.give(0, result);
    Ok(())
}

fn evaluate_channels(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let groups = usize::try_from(eval.int("groups")?).unwrap_or(0).max(1);
    let (Some(&batch), Some(&channels)) = (own.dims().first(), own.dims().get(1)) else {
        return Err(EvaluateError::new("a tensor without channels"));
    };
    let inner: usize = own.dims()[2..].iter().product();
    let split = own.as_ref().clone().reshaped(&[batch, groups, channels / groups, inner])?;
    one(shape::transpose(&split, &[0, 2, 1, 3])?.reshaped(own.dims()))
}
