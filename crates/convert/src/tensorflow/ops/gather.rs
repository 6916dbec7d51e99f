//! `Gather`, `GatherV2`, `ResourceGather` and `GatherNd`: parts of a value by their numbers.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, index, layout, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    if call.node.op == "GatherNd" {
        return gather_nd(context, call);
    }
    let (value, indices) = (call.input(0)?, call.input(1)?);
    let rank = value.rank()?;
    let axis = match (call.node.op.as_str(), call.inputs.get(2)) {
        ("GatherV2", Some(axis)) => dims::axis(context.integer(axis, "an axis")?, rank)?,
        _ => 0,
    };
    let batch = batch_dims(call.node.attrs.int("batch_dims", 0), indices.dims.as_deref())?;
    // A resource is gathered from behind its batch.
    let axis = axis.max(batch);
    let [x, places] = context.names(call)?;
    if let Some(size) = value.size(axis) {
        context.bounded(indices, size);
    }
    let own = value.known_dims()?;
    let dims = indices.dims.as_ref().map(|indices| {
        let inner = indices.get(batch..).unwrap_or_default();
        [&own[..axis], inner, own.get(axis + 1..).unwrap_or_default()].concat()
    });
    if batch == 0 {
        let found = context.add_node(node("Gather", &[x, places]).with("axis", axis as i64));
        return Ok(vec![context.value(found, value.element_type, dims)]);
    }
    // Its axis directly behind the batch, then one index each.
    let indices_rank = indices.rank()?;
    let order: Vec<usize> =
        (0..batch).chain([axis]).chain((batch..rank).filter(|&other| other != axis)).collect();
    let moved = context.transpose(&x, &order);
    let places = if indices.element_type == ElementType::Int64 {
        places
    } else {
        context.cast(&places, ElementType::Int64)
    };
    let places = context.with_axes("Unsqueeze", &places, &[-1]);
    let gathered = node("GatherND", &[moved, places]).with("batch_dims", batch as i64);
    let gathered = context.add_node(gathered);
    // The axes between batch and axis come behind the indices; they belong before.
    let (inner, between) = (indices_rank - batch, axis - batch);
    let back: Vec<usize> = (0..batch)
        .chain(batch + inner..batch + inner + between)
        .chain(batch..batch + inner)
        .chain(batch + inner + between..rank - 1 + inner)
        .collect();
    let found = context.transpose(&gathered, &back);
    Ok(vec![context.value(found, value.element_type, dims)])
}

/// How many axes are common to both, counted from the front.
fn batch_dims(batch: i64, indices: Option<&[Dim]>) -> Result<usize, Refusal> {
    let rank = indices.map_or(0, <[Dim]>::len) as i64;
    let counted = if batch < 0 { batch + rank } else { batch };
    usize::try_from(counted).ok().filter(|_| batch == 0 || counted <= rank).ok_or_else(|| {
        Refusal::new(format!("{batch} axes in common"), "give the indices a fixed rank")
    })
}

fn gather_nd(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, indices) = (call.input(0)?, call.input(1)?);
    let [x, mut places] = context.names(call)?;
    if indices.element_type != ElementType::Int64 {
        places = context.cast(&places, ElementType::Int64);
    }
    let batch = call.node.attrs.int("batch_dims", 0);
    let written = node("GatherND", &[x, places]);
    let written = if batch == 0 { written } else { written.with("batch_dims", batch) };
    let found = context.add_node(written);
    let dims = match (&value.dims, &indices.dims) {
        (Some(own), Some(indices)) => indices.split_last().and_then(|(last, outer)| {
            let depth = super::super::value::fixed(last)? + usize::try_from(batch).ok()?;
            Some([outer, own.get(depth..)?].concat())
        }),
        _ => None,
    };
    Ok(vec![context.value(found, value.element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, indices) = (given.input(0)?, given.input(1)?);
    let batch = given.attrs().int("batch_dims", 0);
    if given.node.op == "GatherNd" {
        let batch = usize::try_from(batch).unwrap_or(0);
        return Ok(vec![index::gather_nd(x, indices, batch)?]);
    }
    let axis = if given.node.op == "GatherV2" { given.integer(2)? } else { 0 };
    let axis = layout::axis(axis, x.rank())?;
    let counted = if batch < 0 { batch + indices.rank() as i64 } else { batch };
    let batch = usize::try_from(counted).unwrap_or(0);
    let places = indices.as_ints()?;
    let size = x.dims().get(axis.max(batch)).copied().unwrap_or(0) as i64;
    if let Some(wrong) = places.iter().find(|&&place| !(0..size).contains(&place)) {
        return Err(EvaluateError::new(format!("there is no element {wrong} of {size}")));
    }
    batched(x, indices, axis.max(batch), batch)
}

/// Gathers for each element of the first axis that both have in common.
fn batched(x: &Array, indices: &Array, axis: usize, batch: usize) -> Evaluated {
    if batch == 0 {
        return Ok(vec![index::gather(x, indices, axis as i64)?]);
    }
    let parts = shape::unstack(x, 0)?.into_iter().zip(shape::unstack(indices, 0)?);
    let mut found = Vec::new();
    for (part, places) in parts {
        found.extend(batched(&part, &places, axis - 1, batch - 1)?);
    }
    let found: Vec<&Array> = found.iter().collect();
    Ok(vec![shape::stack(&found, 0)?])
}
