//! `TopKV2`: the largest elements of the last axis, and where they stand.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::{elementwise, index};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let x = context.name(value)?;
    let attrs = &call.node.attrs;
    let (known, count) = match call.inputs.get(1) {
        Some(count) => {
            let known = context.integer(count, "").ok();
            let list = context.shape(count)?;
            (known, context.reshape(&list, &[1]))
        }
        None => {
            let count = attrs.int("k", 1);
            (Some(count), context.emitter.integers("k", &[count]))
        }
    };
    let sorted = i64::from(attrs.bool("sorted", true));
    let written = node("TopK", &[x, count]).with("axis", -1).with("sorted", sorted);
    let mut outputs = context.emitter.add_many(written, 2).into_iter();
    let values = outputs.next().unwrap_or_default();
    let mut places = outputs.next().unwrap_or_default();
    let index_type = attrs.element_type("index_type").unwrap_or(ElementType::Int32);
    if index_type != ElementType::Int64 {
        places = context.cast(&places, index_type);
    }
    let dims = value.dims.as_ref().map(|own| {
        let mut dims = own.clone();
        if let Some(last) = dims.last_mut() {
            let size = known.and_then(|count| usize::try_from(count).ok());
            *last = size.map_or(Dim::Free, Dim::Fixed);
        }
        dims
    });
    let values = context.value(values, value.element_type, dims.clone());
    Ok(vec![values, context.value(places, index_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let count = if given.inputs.len() > 1 { given.integer(1)? } else { given.attrs().int("k", 1) };
    let (values, places) = index::top_k(x, usize::try_from(count).unwrap_or(0), -1, true)?;
    let index_type = given.attrs().element_type("index_type").unwrap_or(ElementType::Int32);
    Ok(vec![values, elementwise::cast(&places, index_type)?])
}
