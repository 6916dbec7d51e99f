//! Padding: constant, mirrored, repeated, around the corner.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Scalar};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::shape::{self, Padding};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.pad.default", "self pad mode value", convert, evaluate),
    operator("aten.constant_pad_nd.default", "self pad value", convert, evaluate),
    operator("aten.reflection_pad1d.default", "self padding", convert, evaluate),
    operator("aten.reflection_pad2d.default", "self padding", convert, evaluate),
    operator("aten.reflection_pad3d.default", "self padding", convert, evaluate),
    operator("aten.replication_pad1d.default", "self padding", convert, evaluate),
    operator("aten.replication_pad2d.default", "self padding", convert, evaluate),
    operator("aten.replication_pad3d.default", "self padding", convert, evaluate),
    operator("aten._pad_circular.default", "self pad", convert, evaluate),
];

/// The mode that an operator has in its name; `pad` has it as an argument.
fn mode_of(operator: &str) -> Option<&'static str> {
    match operator {
        _ if operator.starts_with("constant") => Some("constant"),
        _ if operator.starts_with("reflection") => Some("reflect"),
        _ if operator.starts_with("replication") => Some("replicate"),
        "_pad_circular" => Some("circular"),
        _ => None,
    }
}

fn pads_name(operator: &str) -> &'static str {
    if operator.ends_with('d') && operator.contains("ion_pad") { "padding" } else { "pad" }
}

/// Pairs from the last axis on, as pads in front of and behind each axis.
fn ordered<T: Clone>(pairs: &[T], rank: usize, none: &T) -> Option<(Vec<T>, Vec<T>)> {
    let (mut before, mut after) = (vec![none.clone(); rank], vec![none.clone(); rank]);
    for (index, pair) in pairs.chunks_exact(2).enumerate() {
        let axis = rank.checked_sub(index + 1)?;
        before[axis] = pair[0].clone();
        after[axis] = pair[1].clone();
    }
    Some((before, after))
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let mode = match mode_of(call.operator()) {
        Some(mode) => mode.to_owned(),
        None => call.text_or("mode", "constant")?,
    };
    let pads = call.extents(pads_name(call.operator()))?;
    let (before, after) = ordered(&pads, own.rank(), &Extent::Known(0))
        .ok_or_else(|| Refusal::new("more pads than axes", ""))?;
    if before.iter().chain(&after).all(|pad| pad.known() == Some(0)) {
        call.give(0, own.name);
        return Ok(());
    }
    if mode == "circular" {
        return circular(call, &own.name, &before, &after);
    }
    let name = match mode.as_str() {
        "constant" => "constant",
        "reflect" => "reflect",
        "replicate" => "edge",
        other => return Err(Refusal::new(format!("padding mode '{other}'"), "use another mode")),
    };
    let pads = call.to.shape(&[before, after].concat());
    let mut inputs = vec![own.name.clone(), pads];
    let value = call.scalar("value")?.unwrap_or(Scalar::Int(0));
    if mode == "constant" {
        inputs.push(call.to.number(value, own.element_type));
    }
    let result = call.to.emit_node(node("Pad", &inputs).with("mode", name));
    call.give(0, result);
    Ok(())
}

/// What stands on the other side of each axis, in front and behind: slices, joined.
fn circular(
    call: &mut Call<'_, '_>,
    name: &str,
    before: &[Extent],
    after: &[Extent],
) -> Result<(), Refusal> {
    let mut current = name.to_owned();
    for (axis, pair) in before.iter().zip(after).enumerate() {
        let (Extent::Known(before), Extent::Known(after)) = pair else {
            return Err(Refusal::new("circular padding of unknown size", "use known numbers"));
        };
        if *before < 0 || *after < 0 {
            return Err(Refusal::new("negative circular padding", "slice the tensor instead"));
        }
        let mut parts = Vec::new();
        if *before > 0 {
            let start = Extent::Known(-before);
            let end = Extent::Known(crate::pytorch::convert::TO_THE_END);
            parts.push(call.to.slice(&current, axis, &start, &end, 1));
        }
        parts.push(current.clone());
        if *after > 0 {
            let end = Extent::Known(*after);
            parts.push(call.to.slice(&current, axis, &Extent::Known(0), &end, 1));
        }
        current = call.to.concat(&parts, axis as i64);
    }
    call.give(0, current);
    Ok(())
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let mode = match mode_of(eval.operator()) {
        Some(mode) => mode.to_owned(),
        None => eval.text_or("mode", "constant")?,
    };
    let pads = eval.ints(pads_name(eval.operator()))?;
    let (before, after) = ordered(&pads, own.rank(), &0)
        .ok_or_else(|| EvaluateError::new("there are more pads than axes"))?;
    let padding = match mode.as_str() {
        "constant" => Padding::Constant(eval.float_or("value", 0.0)?),
        "reflect" => Padding::Reflect,
        "replicate" => Padding::Edge,
        "circular" => Padding::Wrap,
        other => return Err(EvaluateError::new(format!("there is no padding mode '{other}'"))),
    };
    one(shape::pad(&own, &before, &after, padding))
}

#[cfg(test)]
mod tests {
    use super::ordered;

    #[test]
    fn pads_count_from_the_last_axis() {
        assert_eq!(ordered(&[1, 2, 3, 4], 3, &0), Some((vec![0, 3, 1], vec![0, 4, 2])));
        assert_eq!(ordered(&[1, 2, 3, 4], 1, &0), None);
    }
}
