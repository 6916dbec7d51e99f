//! Products of matrices.

use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::reference::{Array, matmul, shape};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val};
use crate::tensorflow::writing::constant_of;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (one, two) = (call.input(0)?, call.input(1)?);
    let (turn_one, turn_two) = turned(&call.node.attrs);
    let (a, a_dims) = operand(context, one, turn_one)?;
    let (b, b_dims) = operand(context, two, turn_two)?;
    let found = context.add("MatMul", &[a, b]);
    let dims = match (a_dims, b_dims) {
        (Some(a), Some(b)) => product(&a, &b),
        _ => None,
    };
    Ok(vec![context.value(found, one.element_type, dims)])
}

/// Which of the two matrices is transposed. An adjoint of real numbers is a transpose.
fn turned(attrs: &Attrs) -> (bool, bool) {
    let either = |one: &str, two: &str| attrs.bool(one, false) || attrs.bool(two, false);
    (either("transpose_a", "adj_x"), either("transpose_b", "adj_y"))
}

/// A value as it goes into the product: its name and its dimensions.
fn operand(
    context: &mut Context<'_>,
    value: &Val,
    turned: bool,
) -> Result<(String, Option<Vec<Dim>>), Refusal> {
    if !turned {
        return Ok((context.name(value)?, value.dims.clone()));
    }
    let rank = value.rank()?;
    let mut order: Vec<usize> = (0..rank).collect();
    if rank < 2 {
        return Err(Refusal::new(format!("a matrix of rank {rank}"), "the file may be damaged"));
    }
    order.swap(rank - 1, rank - 2);
    let dims = value.dims.as_ref().and_then(|dims| dims::permuted(dims, &order));
    let name = match context.array(value)? {
        Some(array) => {
            let constant = constant_of("weights", &shape::transpose(&array, &order)?)?;
            context.emitter.constant(constant)
        }
        None => {
            let name = context.name(value)?;
            context.transpose(&name, &order)
        }
    };
    Ok((name, dims))
}

fn product(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let (outer_a, [rows, _]) = a.split_last_chunk::<2>()?;
    let (outer_b, [_, columns]) = b.split_last_chunk::<2>()?;
    let mut dims = dims::broadcast(&Some(outer_a.to_vec()), &Some(outer_b.to_vec()))?;
    dims.extend([rows.clone(), columns.clone()]);
    Some(dims)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (turn_one, turn_two) = turned(given.attrs());
    let turn = |array: &Array, turned: bool| -> Result<Array, EvaluateError> {
        if turned { shape::swap_axes(array, -1, -2) } else { Ok(array.clone()) }
    };
    let (a, b) = (turn(given.input(0)?, turn_one)?, turn(given.input(1)?, turn_two)?);
    Ok(vec![matmul::matmul(&a, &b)?])
}
