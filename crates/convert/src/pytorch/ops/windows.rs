//! Diagonals and windows: elements at regular places.

use super::slice::no_axis;
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::Size;

/// Places that are listed.
const MOST: i64 = 1 << 24;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.diagonal.default", "self offset dim1 dim2", convert_diagonal, evaluate_diagonal),
    operator("aten.unfold.default", "self dimension size step", convert_unfold, evaluate_unfold),
];

/// The diagonal of two axes, as the last axis: gathered from the two, flattened.
fn convert_diagonal(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (one, two) = (call.axis("dim1", own.rank(), 0)?, call.axis("dim2", own.rank(), 1)?);
    let offset = call.int_or("offset", 0)?;
    let size = |axis: usize| own.sizes.get(axis).and_then(Size::known);
    let product = |rows: &i64, columns: &i64| rows.checked_mul(*columns);
    let known = size(one).zip(size(two));
    let known =
        known.filter(|(rows, columns)| product(rows, columns).is_some_and(|all| all <= MOST));
    let Some((rows, columns)) = known.filter(|_| one != two) else {
        return Err(Refusal::new("a diagonal of unknown size", "export it with fixed sizes"));
    };
    let mut order: Vec<usize> = (0..own.rank()).filter(|&at| at != one && at != two).collect();
    order.extend([one, two]);
    let turned = call.to.transpose(&own.name, &order);
    let keep = vec![0i64; own.rank() - 2];
    let shape = call.to.ints(&[keep.as_slice(), &[rows * columns]].concat());
    let flat = call.to.emit("Reshape", &[&turned, &shape]);
    let places: Vec<i64> = (0..rows)
        .map(|row| (row, row.saturating_add(offset)))
        .filter(|(_, column)| (0..columns).contains(column))
        .map(|(row, column)| row * columns + column)
        .collect();
    let places = call.to.ints(&places);
    let result = call.to.emit_node(node("Gather", &[&flat, &places]).with("axis", -1i64));
    call.give(0, result);
    Ok(())
}

fn evaluate_diagonal(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let rank = own.dims().len();
    let (one, two) = (eval.axis("dim1", rank, 0)?, eval.axis("dim2", rank, 1)?);
    if rank < 2 || one == two {
        return Err(EvaluateError::new("a diagonal needs two axes"));
    }
    let offset = eval.int_or("offset", 0)?;
    let (rows, columns) = (own.dims()[one] as i64, own.dims()[two] as i64);
    let (row, column) = (offset.saturating_neg().max(0), offset.max(0));
    let count = rows.saturating_sub(row).min(columns.saturating_sub(column)).max(0);
    let start = own.strides()[one].saturating_mul(row as isize);
    let start = start.saturating_add(own.strides()[two].saturating_mul(column as isize));
    let others = (0..rank).filter(|&at| at != one && at != two);
    let mut dims: Vec<usize> = others.clone().map(|at| own.dims()[at]).collect();
    let mut strides: Vec<isize> = others.map(|at| own.strides()[at]).collect();
    dims.push(count as usize);
    strides.push(own.strides()[one].saturating_add(own.strides()[two]));
    let offset = if count == 0 { own.offset() } else { own.offset().saturating_add_signed(start) };
    Ok(vec![Value::Tensor(own.seen(dims, strides, offset))])
}

/// Windows of an axis, as a new last axis: gathered by their places.
fn convert_unfold(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dimension", own.rank(), 0)?;
    let (size, step) = (call.int("size")?, call.int("step")?);
    let Some(all) = own
        .sizes
        .get(axis)
        .and_then(Size::known)
        .filter(|&all| step > 0 && size >= 0 && all >= size && all <= MOST)
    else {
        return Err(Refusal::new(
            "windows of an axis of unknown size",
            "export it with fixed sizes",
        ));
    };
    let count = (all - size) / step + 1;
    if count.checked_mul(size).is_none_or(|places| places > MOST) {
        return Err(Refusal::new(format!("{count} windows of {size}"), "use larger steps"));
    }
    let places: Vec<i64> =
        (0..count).flat_map(|window| (0..size).map(move |at| window * step + at)).collect();
    let bytes: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    let dims = [count as usize, size as usize];
    let kind = modelyard_graph::ElementType::Int64;
    let places =
        call.to.emitter.constant(modelyard_graph::Constant::raw("places", kind, &dims, bytes));
    let gathered =
        call.to.emit_node(node("Gather", &[&own.name, &places]).with("axis", axis as i64));
    let mut order: Vec<usize> = (0..=own.rank()).filter(|&at| at != axis + 1).collect();
    order.push(axis + 1);
    let result = call.to.transpose(&gathered, &order);
    call.give(0, result);
    Ok(())
}

fn evaluate_unfold(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dimension", own.dims().len(), 0)?;
    let all = *own.dims().get(axis).ok_or_else(no_axis)?;
    let size = usize::try_from(eval.int("size")?).unwrap_or(usize::MAX);
    let step = usize::try_from(eval.int("step")?).unwrap_or(0);
    if step == 0 || size > all {
        return Err(EvaluateError::new(format!("there are no windows of {size} in {all}")));
    }
    let (mut dims, mut strides) = (own.dims().to_vec(), own.strides().to_vec());
    dims.push(size);
    strides.push(strides[axis]);
    dims[axis] = (all - size) / step + 1;
    strides[axis] = strides[axis].saturating_mul(step as isize);
    Ok(vec![Value::Tensor(own.seen(dims, strides, own.offset()))])
}
