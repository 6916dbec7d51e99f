//! `Tile` and `BroadcastTo`: elements repeated.

use modelyard_tensor::Dim;

use super::{Evaluated, Given, sizes};
use crate::reference::shape;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Value, fixed};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, wanted) = (call.input(0)?, call.input(1)?);
    let known = context.integers(wanted, "").ok();
    let x = context.name(value)?;
    let list = context.shape(wanted)?;
    let (op_type, dims) = match call.node.op.as_str() {
        "Tile" => ("Tile", tiled(value, known.as_deref())),
        _ => ("Expand", asked(wanted, known)),
    };
    let found = context.add(op_type, &[x, list]);
    Ok(vec![context.value(found, value.element_type, dims)])
}

fn tiled(value: &Value, times: Option<&[i64]>) -> Option<Vec<Dim>> {
    let dim = |(axis, dim): (usize, &Dim)| match (times.and_then(|times| times.get(axis)), dim) {
        (Some(1), dim) => dim.clone(),
        (Some(&times), dim) => fixed(dim)
            .and_then(|size| size.checked_mul(usize::try_from(times).ok()?))
            .map_or(Dim::Free, Dim::Fixed),
        (None, _) => Dim::Free,
    };
    Some(value.dims.as_ref()?.iter().enumerate().map(dim).collect())
}

/// The dimensions that a list of sizes asks for.
pub(super) fn asked(list: &Value, known: Option<Vec<i64>>) -> Option<Vec<Dim>> {
    match known {
        Some(sizes) => {
            let dim = |size: i64| usize::try_from(size).map_or(Dim::Free, Dim::Fixed);
            Some(sizes.into_iter().map(dim).collect())
        }
        None => list.sizes.clone().or_else(|| Some(vec![Dim::Free; list.size(0)?])),
    }
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, wanted) = (given.input(0)?, sizes(&given.integers(1)?)?);
    Ok(vec![match given.node.op.as_str() {
        "Tile" => shape::tile(x, &wanted)?,
        _ => shape::broadcast_to(x, &wanted)?,
    }])
}
