//! `Where`: the places of elements that are true or not zero, a row each.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::reference::{index, shape};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let rank = value.rank()?;
    let [x] = context.names(call)?;
    let places = context.add("NonZero", &[x]);
    let found = context.transpose(&places, &[1, 0]);
    let dims = Some(vec![Dim::Free, Dim::Fixed(rank)]);
    Ok(vec![context.value(found, ElementType::Int64, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    Ok(vec![shape::transpose(&index::where_nonzero(given.input(0)?)?, &[1, 0])?])
}
