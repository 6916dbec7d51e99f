//! `Pad`, `PadV2` and `MirrorPad`.

use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::shape::{self, Padding};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Value, fixed};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, paddings) = (call.input(0)?, call.input(1)?);
    let known = context.integers(paddings, "the padding").ok();
    let dims = dims(value, known.as_deref());
    let mut x = context.name(value)?;
    let mode = match (call.node.op.as_str(), call.node.attrs.text("mode", "REFLECT")) {
        ("MirrorPad", "SYMMETRIC") => {
            let pads = context.integers(paddings, "padding of mode SYMMETRIC")?;
            for (axis, pair) in pads.as_chunks::<2>().0.iter().enumerate() {
                x = symmetric(context, &x, axis as i64, *pair);
            }
            return Ok(vec![context.value(x, value.element_type, dims)]);
        }
        ("MirrorPad", _) => "reflect",
        _ => "constant",
    };
    let pads = match &known {
        Some(pairs) => context.emitter.integers("pads", &by_side(pairs)),
        None => {
            let pairs = context.shape(paddings)?;
            let turned = context.transpose(&pairs, &[1, 0]);
            context.reshape(&turned, &[-1])
        }
    };
    let mut inputs = vec![x, pads];
    if call.node.op == "PadV2" {
        inputs.push(context.name(call.input(2)?)?);
    }
    let found = context.add_node(node("Pad", &inputs).with("mode", mode));
    Ok(vec![context.value(found, value.element_type, dims)])
}

/// All padding before, then all padding after.
fn by_side(pairs: &[i64]) -> Vec<i64> {
    let (pairs, _) = pairs.as_chunks::<2>();
    pairs.iter().map(|pair| pair[0]).chain(pairs.iter().map(|pair| pair[1])).collect()
}

/// Mirrored at the border, which ONNX does not know: parts turned around, before and after.
fn symmetric(context: &mut Context<'_>, x: &str, axis: i64, [before, after]: [i64; 2]) -> String {
    let mut parts = Vec::new();
    let part = |context: &mut Context<'_>, start: i64, end: i64| {
        let lists = [("starts", start), ("ends", end), ("axes", axis), ("steps", -1)];
        let lists = lists.map(|(name, value)| context.emitter.integers(name, &[value]));
        let [starts, ends, axes, steps] = lists;
        context.add("Slice", &[x, &starts, &ends, &axes, &steps])
    };
    if before > 0 {
        parts.push(part(context, before - 1, i64::MIN));
    }
    parts.push(x.to_owned());
    if after > 0 {
        parts.push(part(context, -1, -1 - after));
    }
    match parts.as_slice() {
        [only] => only.clone(),
        parts => context.add_node(node("Concat", parts).with("axis", axis)),
    }
}

fn dims(value: &Value, pairs: Option<&[i64]>) -> Option<Vec<Dim>> {
    let own = value.dims.as_ref()?;
    let dim = |(axis, dim): (usize, &Dim)| {
        let pair = pairs.and_then(|pairs| pairs.as_chunks::<2>().0.get(axis));
        match (pair, fixed(dim)) {
            (Some([0, 0]), _) => dim.clone(),
            (Some([before, after]), Some(size)) => i64::try_from(size)
                .ok()
                .and_then(|size| size.checked_add(*before)?.checked_add(*after))
                .and_then(|size| usize::try_from(size).ok())
                .map_or(Dim::Free, Dim::Fixed),
            _ => Dim::Free,
        }
    };
    Some(own.iter().enumerate().map(dim).collect())
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, pairs) = (given.input(0)?, given.integers(1)?);
    let (pairs, _) = pairs.as_chunks::<2>();
    let before: Vec<i64> = pairs.iter().map(|pair| pair[0]).collect();
    let after: Vec<i64> = pairs.iter().map(|pair| pair[1]).collect();
    if before.iter().chain(&after).any(|&pad| pad < 0) {
        return Err(EvaluateError::new("padding below 0"));
    }
    let padding = match (given.node.op.as_str(), given.attrs().text("mode", "REFLECT")) {
        ("MirrorPad", "SYMMETRIC") => Padding::Symmetric,
        ("MirrorPad", _) => Padding::Reflect,
        ("PadV2", _) => Padding::Constant(given.number(2)?),
        _ => Padding::Constant(0.0),
    };
    Ok(vec![shape::pad(x, &before, &after, padding)?])
}

/// Padding of a value with zeros, for operators that are made of it.
pub(super) fn with_zeros(
    context: &mut Context<'_>,
    value: &Value,
    pairs: &[i64],
) -> Result<String, Refusal> {
    let x = context.name(value)?;
    if pairs.iter().all(|&pad| pad == 0) {
        return Ok(x);
    }
    let pads = context.emitter.integers("pads", &by_side(pairs));
    Ok(context.add("Pad", &[x, pads]))
}
