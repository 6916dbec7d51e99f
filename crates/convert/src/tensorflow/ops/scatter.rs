//! `ScatterNd`, `TensorScatter...` and `InvertPermutation`: parts of a value are set, or combined
//! with others.

use modelyard_graph::ElementType;

use super::{Evaluated, Given, sizes, tile};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::index::{self, Combine};
use crate::reference::{Array, elementwise, layout};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val};
use crate::tensorflow::writing::constant_of;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    match call.node.op.as_str() {
        "InvertPermutation" => inverted(context, call),
        "ScatterNd" => {
            let (indices, updates, wanted) = (call.input(0)?, call.input(1)?, call.input(2)?);
            let known = context.integers(wanted, "").ok();
            let dims = tile::asked(wanted, known);
            let shape = context.shape(wanted)?;
            let zero = Array::from_f64s(updates.element_type, &[1], vec![0.0])?;
            let zero = constant_of("", &zero)?;
            let zeros = context.add_node(node("ConstantOfShape", &[shape]).with("value", zero));
            let places = places(context, indices)?;
            let updates_name = context.name(updates)?;
            // What falls on the same place is added up.
            let written =
                node("ScatterND", &[zeros, places, updates_name]).with("reduction", "add");
            let found = context.add_node(written);
            Ok(vec![context.value(found, updates.element_type, dims)])
        }
        op => {
            let (value, indices) = (call.input(0)?, call.input(1)?);
            let x = context.name(value)?;
            let places = places(context, indices)?;
            let mut updates = context.name(call.input(2)?)?;
            let reduction = match op {
                "TensorScatterAdd" => Some("add"),
                "TensorScatterSub" => {
                    updates = context.add("Neg", &[updates]);
                    Some("add")
                }
                "TensorScatterMax" => Some("max"),
                "TensorScatterMin" => Some("min"),
                _ => None,
            };
            let written = node("ScatterND", &[x, places, updates]);
            let written = match reduction {
                Some(reduction) => written.with("reduction", reduction),
                None => written,
            };
            let found = context.add_node(written);
            Ok(vec![context.value(found, value.element_type, value.dims.clone())])
        }
    }
}

fn places(context: &mut Context<'_>, indices: &Val) -> Result<String, Refusal> {
    let name = context.name(indices)?;
    Ok(match indices.element_type {
        ElementType::Int64 => name,
        _ => context.cast(&name, ElementType::Int64),
    })
}

/// What order puts a permutation in order.
fn inverted(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let size = context.add("Shape", &[&x]);
    let sorted = node("TopK", &[x, size]).with("largest", 0).with("axis", 0);
    let mut outputs = context.emitter.add_many(sorted, 2);
    let mut found = outputs.pop().unwrap_or_default();
    if value.element_type != ElementType::Int64 {
        found = context.cast(&found, value.element_type);
    }
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let op = given.node.op.as_str();
    if op == "InvertPermutation" {
        let x = given.input(0)?;
        let mut found = vec![-1.0; x.len()];
        for (at, &place) in x.as_ints()?.iter().enumerate() {
            let place = usize::try_from(place).ok().filter(|&place| place < x.len());
            let place = place.ok_or_else(|| EvaluateError::new("it is no permutation"))?;
            found[place] = at as f64;
        }
        return Ok(vec![Array::from_f64s(x.element_type(), x.dims(), found)?]);
    }
    if op == "ScatterNd" {
        let (indices, updates) = (given.input(0)?, given.input(1)?);
        let dims = sizes(&given.integers(2)?)?;
        let zeros = vec![0.0; layout::elements(&dims)?];
        let zeros = Array::from_f64s(updates.element_type(), &dims, zeros)?;
        return Ok(vec![index::scatter_nd(&zeros, indices, updates, Combine::Add)?]);
    }
    let (x, indices, updates) = (given.input(0)?, given.input(1)?, given.input(2)?);
    let combine = match op {
        "TensorScatterAdd" => Combine::Add,
        "TensorScatterMax" => Combine::Max,
        "TensorScatterMin" => Combine::Min,
        "TensorScatterSub" => {
            let negative = elementwise::neg(updates)?;
            return Ok(vec![index::scatter_nd(x, indices, &negative, Combine::Add)?]);
        }
        _ => Combine::Replace,
    };
    Ok(vec![index::scatter_nd(x, indices, updates, combine)?])
}
