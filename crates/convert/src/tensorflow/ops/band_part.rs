//! `MatrixBandPart`: a band around the diagonal of matrices; what is outside becomes 0.

use modelyard_graph::ElementType;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::Array;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let lower = context.integer(call.input(1)?, "a band")?;
    let upper = context.integer(call.input(2)?, "a band")?;
    let mut x = context.name(value)?;
    let is_bool = value.element_type == ElementType::Bool;
    if is_bool {
        x = context.cast(&x, ElementType::Int64);
    }
    for (keeps, shift, keeps_upper) in [(upper, upper, 0), (lower, -lower, 1)] {
        if keeps >= 0 {
            let shift = context.emitter.integer("shift", shift);
            x = context.add_node(node("Trilu", &[x, shift]).with("upper", keeps_upper));
        }
    }
    if is_bool {
        x = context.cast(&x, ElementType::Bool);
    }
    Ok(vec![context.value(x, value.element_type, value.dims.clone())])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let (lower, upper) = (given.integer(1)?, given.integer(2)?);
    let Some((_, &[rows, columns])) = x.dims().split_last_chunk::<2>() else {
        return Err(EvaluateError::new("expected matrices"));
    };
    let mut values = x.to_f64s()?;
    for (at, value) in values.iter_mut().enumerate() {
        let (row, column) = ((at / columns % rows) as i64, (at % columns) as i64);
        let below = lower >= 0 && row - column > lower;
        if below || (upper >= 0 && column - row > upper) {
            *value = 0.0;
        }
    }
    Ok(vec![Array::from_f64s(x.element_type(), x.dims(), values)?])
}
