//! Pooling to a given number of windows.

use super::pool::{evaluated_batched, evaluated_unbatched, spatial_rank};
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::arguments::Arguments;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome};
use crate::pytorch::graph::{Argument, Size};
use crate::reference::Array;
use crate::reference::pool::{adaptive_average_pool, adaptive_max_pool};

const ADAPTIVE: &str = "self output_size";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.adaptive_avg_pool1d.default", ADAPTIVE, convert, evaluate),
    operator("aten.adaptive_avg_pool2d.default", ADAPTIVE, convert, evaluate),
    operator("aten.adaptive_avg_pool3d.default", ADAPTIVE, convert, evaluate),
    operator("aten._adaptive_avg_pool2d.default", ADAPTIVE, convert, evaluate),
    operator("aten._adaptive_avg_pool3d.default", ADAPTIVE, convert, evaluate),
    operator("aten.adaptive_max_pool1d.default", ADAPTIVE, convert, evaluate),
    operator("aten.adaptive_max_pool2d.default", ADAPTIVE, convert, evaluate),
    operator("aten.adaptive_max_pool3d.default", ADAPTIVE, convert, evaluate),
];

fn is_average(operator: &str) -> bool {
    operator.contains("avg")
}

/// How many windows along each axis; `None` keeps the size.
fn wanted(call: &mut Call<'_, '_>, rank: usize) -> Result<Vec<Option<i64>>, Refusal> {
    if let Argument::List(items) = call.argument("output_size")
        && items.contains(&Argument::None)
    {
        return Ok(items
            .iter()
            .map(|item| if let Argument::Int(size) = item { Some(*size) } else { None })
            .collect());
    }
    Ok(call.spatial("output_size", rank, 1)?.into_iter().map(Some).collect())
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let rank = spatial_rank(call.operator());
    let own = call.tensor("self")?;
    let wanted = wanted(call, rank)?;
    if call.operator().contains("max") && call.wants(1) {
        return Err(Refusal::new(
            "the indices of an adaptive max pooling",
            "use max_pool with return_indices instead",
        ));
    }
    let first = own.rank().saturating_sub(rank);
    if wanted.iter().all(|size| *size == Some(1)) {
        let result = global(call, &own, first);
        call.give(0, result);
        return Ok(());
    }
    let mut current = own;
    if let Some(pool) = even(call, &current, first, &wanted) {
        call.give(0, pool);
        return Ok(());
    }
    for (index, size) in wanted.iter().enumerate() {
        if let Some(size) = size {
            current = along(call, &current, first + index, *size)?;
        }
    }
    call.give(0, current.name);
    Ok(())
}

/// One window over everything.
fn global(call: &mut Call<'_, '_>, own: &Tensor, first: usize) -> String {
    let is_average = is_average(call.operator());
    if first == 2 {
        let op_type = if is_average { "GlobalAveragePool" } else { "GlobalMaxPool" };
        return call.to.emit(op_type, &[&own.name]);
    }
    let axes: Vec<i64> = (first as i64..own.rank() as i64).collect();
    let axes = call.to.ints(&axes);
    let op_type = if is_average { "ReduceMean" } else { "ReduceMax" };
    call.to.emit(op_type, &[&own.name, &axes])
}

/// Windows of one size that fill the image exactly: a plain pooling.
fn even(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    first: usize,
    wanted: &[Option<i64>],
) -> Option<String> {
    let mut kernel = Vec::new();
    for (size, wanted) in own.sizes.get(first..)?.iter().zip(wanted) {
        kernel.push(match wanted {
            None => 1,
            Some(wanted) => {
                let size = size.known()?;
                (*wanted > 0 && size % wanted == 0).then_some(size / wanted)?
            }
        });
    }
    if first != 2 {
        return None;
    }
    if kernel.iter().all(|&size| size == 1) {
        return Some(own.name.clone());
    }
    let op_type = if is_average(call.operator()) { "AveragePool" } else { "MaxPool" };
    let pool = node(op_type, &[&own.name])
        .with("kernel_shape", kernel.as_slice())
        .with("strides", kernel.as_slice());
    Some(call.to.emit_node(pool))
}

/// Windows along one axis that differ in size: each is a slice, reduced.
fn along(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    axis: usize,
    wanted: i64,
) -> Result<Tensor, Refusal> {
    const MOST_WINDOWS: i64 = 1024;
    let size = own.sizes.get(axis).and_then(Size::known);
    let mut sizes = own.sizes.clone();
    let mut resized = |size: i64| {
        if let Some(own) = sizes.get_mut(axis) {
            *own = size.into();
        }
        sizes.clone()
    };
    let op_type = if is_average(call.operator()) { "ReduceMean" } else { "ReduceMax" };
    let axes = call.to.ints(&[axis as i64]);
    if wanted == 1 {
        let name = call.to.emit(op_type, &[&own.name, &axes]);
        return Ok(Tensor { name, sizes: resized(1), ..own.clone() });
    }
    // Products of both stay within 64 bits.
    let is_small = |&size: &i64| (0..1 << 40).contains(&size);
    let Some(size) = size.filter(is_small).filter(|_| (1..=MOST_WINDOWS).contains(&wanted)) else {
        return Err(Refusal::new(
            format!("adaptive pooling to {wanted} windows of an image of unknown size"),
            "export the model with a fixed image size",
        ));
    };
    if size == wanted {
        return Ok(own.clone());
    }
    let mut parts = Vec::new();
    for index in 0..wanted {
        let start = index * size / wanted;
        let end = ((index + 1) * size + wanted - 1) / wanted;
        let (start, end) = (Extent::Known(start), Extent::Known(end));
        let part = call.to.slice(&own.name, axis, &start, &end, 1);
        parts.push(call.to.emit(op_type, &[&part, &axes]));
    }
    let name = call.to.concat(&parts, axis as i64);
    Ok(Tensor { name, sizes: resized(wanted), ..own.clone() })
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, is_batched) = evaluated_batched(eval)?;
    let sizes = evaluated_sizes(eval, &own)?;
    let result = match is_average(eval.operator()) {
        true => adaptive_average_pool(&own, &sizes)?,
        false => adaptive_max_pool(&own, &sizes)?,
    };
    Ok(vec![evaluated_unbatched(result, is_batched)?.into()])
}

fn evaluated_sizes(eval: &mut Eval<'_, '_>, own: &Array) -> Result<Vec<usize>, EvaluateError> {
    let rank = spatial_rank(eval.operator());
    let spatial = &own.dims()[own.rank().saturating_sub(rank)..];
    let arguments: Arguments<'_> = eval.arguments();
    if let Argument::List(items) = arguments.get("output_size")
        && items.contains(&Argument::None)
    {
        let sizes = items.iter().zip(spatial).map(|(item, &own)| match item {
            Argument::Int(size) => usize::try_from(*size).unwrap_or(0),
            _ => own,
        });
        return Ok(sizes.collect());
    }
    super::convolution::sizes(&eval.spatial("output_size", rank, 1)?)
}
