//! `Transpose`: axes in another order.

use super::{Evaluated, Given, dims};
use crate::reference::shape;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let order = context.integers(call.input(1)?, "an order of axes")?;
    let rank = order.len();
    let order: Vec<usize> =
        order.iter().map(|&axis| dims::axis(axis, rank)).collect::<Result<_, _>>()?;
    let x = context.name(value)?;
    let found = context.transpose(&x, &order);
    let dims = value.dims.as_ref().and_then(|own| dims::permuted(own, &order));
    Ok(vec![context.value(found, value.element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let order: Vec<usize> = given
        .integers(1)?
        .iter()
        .map(|&axis| crate::reference::layout::axis(axis, x.rank()))
        .collect::<Result<_, _>>()?;
    Ok(vec![shape::transpose(x, &order)?])
}
