//! Values put together and taken apart: `Concat`, `Split`.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::value::Refusal;
use crate::export::saved_model::writer::Writer;

pub(super) fn concat(writer: &mut Writer, call: &Call<'_>) -> Written {
    let axis = call.axis("axis", 0)?;
    let mut parts = Vec::with_capacity(call.inputs.len());
    for index in 0..call.inputs.len() {
        parts.push(call.tensor(writer, index)?);
    }
    Ok(vec![writer.concat(&parts, axis)?])
}

pub(super) fn split(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let axis = call.axis("axis", 0)?;
    let count = call.node.outputs.len();
    let types = vec![x.element_type; count];
    let dim = writer.int("split_dim", axis as i64)?;
    let sizes = match (call.optional(1), value.size(axis)) {
        (Some(sizes), _) => Some(writer.tensor(sizes)?),
        (None, Some(size)) if size % count != 0 => {
            // The last one is smaller.
            let each = size.div_ceil(count);
            let part = |index: usize| size.saturating_sub(index * each).min(each) as i64;
            let parts: Vec<i64> = (0..count).map(part).collect();
            Some(writer.longs("size_splits", &parts)?)
        }
        _ => None,
    };
    if count == 0 {
        return Err(Refusal::new("a split into nothing", "the model may be damaged"));
    }
    let op = match sizes {
        Some(sizes) => {
            Op::new("SplitV").input(&x).input(&sizes).input(&dim).kind("Tlen", ElementType::Int64)
        }
        None => Op::new("Split").input(&dim).input(&x),
    };
    let op = op.kind("T", x.element_type).int("num_split", count as i64);
    Ok(writer.add_many(op, &types))
}
