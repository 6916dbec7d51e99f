//! `ConcatV2` and `Concat`: values one behind the other. The axis comes last, or first.

use std::sync::Arc;

use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val, fixed};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (values, axis) = match (call.node.op.as_str(), call.inputs.as_slice()) {
        ("Concat", [axis, values @ ..]) | (_, [values @ .., axis]) => (values, axis),
        _ => return Err(Refusal::new("no inputs", "the file may be damaged")),
    };
    let axis = context.integer(axis, "an axis")?;
    let mut names = Vec::with_capacity(values.len());
    for value in values {
        names.push(context.name(value)?);
    }
    let element_type = call.input(usize::from(call.node.op == "Concat"))?.element_type;
    let found = context.add_node(node("Concat", &names).with("axis", axis));
    Ok(vec![context.value(found, element_type, joined(values, axis)?)])
}

/// The dimensions of values one behind the other.
fn joined(values: &[Val], axis: i64) -> Result<Option<Vec<Dim>>, Refusal> {
    let mut found: Option<Vec<Dim>> = None;
    for value in values {
        let Some(own) = &value.dims else { return Ok(None) };
        let at = dims::axis(axis, own.len())?;
        found = Some(match found {
            None => own.clone(),
            Some(before) if before.len() == own.len() => {
                let dim = |(index, (one, two)): (usize, (&Dim, &Dim))| match index == at {
                    true => match (fixed(one), fixed(two)) {
                        (Some(one), Some(two)) => Dim::Fixed(one + two),
                        _ => Dim::Free,
                    },
                    // All but the axis agree, so what one knows is so for all.
                    false if fixed(two).is_some() => two.clone(),
                    false => one.clone(),
                };
                before.iter().zip(own).enumerate().map(dim).collect()
            }
            Some(_) => return Ok(None),
        });
    }
    Ok(found)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (arrays, axis): (&[Arc<Array>], _) = match given.inputs.as_slice() {
        [axis, arrays @ ..] if given.node.op == "Concat" => (arrays, axis),
        [arrays @ .., axis] => (arrays, axis),
        [] => return Err(EvaluateError::new("nothing to concatenate")),
    };
    let axis = axis.as_ints()?.first().copied().unwrap_or(0);
    let arrays: Vec<&Array> = arrays.iter().map(Arc::as_ref).collect();
    Ok(vec![shape::concat(&arrays, axis)?])
}
