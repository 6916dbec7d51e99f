//! What integers in a model stand for.

use std::collections::BTreeMap;

use modelyard_graph::{Constant, ElementType, Model};

use crate::floats::{Channels, floats};

/// Weights that a model holds as integers, as floats, by the name that the weight had in the model of
/// floats: those before a DequantizeLinear.
pub fn dequantized(model: &Model) -> BTreeMap<String, Vec<f32>> {
    let weights = model.graph.nodes.iter().filter(|node| node.is("DequantizeLinear"));
    weights
        .filter_map(|node| {
            let constant = |slot: usize| model.graph.initializer(node.input(slot)?);
            let integers = constant(0)?;
            let name = integers.name.strip_suffix("_quantized")?.to_owned();
            let axis = node.int("axis").unwrap_or(1);
            let values = values(integers, constant(1)?, constant(2), axis)?;
            Some((name, values))
        })
        .collect()
}

fn values(
    integers: &Constant,
    scale: &Constant,
    zero: Option<&Constant>,
    axis: i64,
) -> Option<Vec<f32>> {
    let scales = floats(scale)?;
    let axis = (scales.len() > 1).then_some(axis as usize);
    let channels = Channels::of(&integers.dims, axis.filter(|axis| *axis < integers.dims.len()));
    let steps = whole(integers)?;
    let zeros = zero.and_then(whole).unwrap_or_else(|| vec![0; scales.len()]);
    let mut values = Vec::with_capacity(steps.len());
    channels.rows(&steps, |channel, row| {
        let scale = scales.get(channel).copied().unwrap_or(1.0);
        let zero = zeros.get(channel).copied().unwrap_or(0);
        values.extend(row.iter().map(|q| (q - zero) as f32 * scale));
    });
    Some(values)
}

fn whole(constant: &Constant) -> Option<Vec<i32>> {
    let bytes = constant.bytes()?;
    match constant.element_type {
        ElementType::Int8 => Some(bytes.iter().map(|&byte| i32::from(byte as i8)).collect()),
        ElementType::Uint8 => Some(bytes.iter().map(|&byte| i32::from(byte)).collect()),
        ElementType::Int32 => {
            Some(bytes.as_chunks().0.iter().map(|&item| i32::from_le_bytes(item)).collect())
        }
        _ => None,
    }
}
