//! `TRANSPOSE`: the axes in another order.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use super::reshape::{give_moved, moved, put, taken};
use crate::reference::shape::transpose;

/// The order as axes of an array of this rank.
fn order(wanted: &[i64], rank: usize) -> Result<Vec<usize>, Stop> {
    let axis = |&axis: &i64| {
        let axis = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(axis).ok().filter(|&axis| axis < rank)
    };
    let order: Option<Vec<usize>> = wanted.iter().map(axis).collect();
    let is_whole =
        |order: &Vec<usize>| order.len() == rank && (0..rank).all(|a| order.contains(&a));
    order
        .filter(is_whole)
        .ok_or_else(|| mismatch(format!("expected an order of {rank} axes, found {wanted:?}")))
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let wanted = cx.required(op, 1, "an order of axes")?;
    let order = order(&wanted, cx.rank(input))?;
    let x = moved(cx, input, output)?;
    let y = cx.transpose(&x.name, &order);
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let wanted = cx.ints(op.input(1)?)?;
    let array = taken(cx, input, output)?;
    let order = order(&wanted, array.rank())?;
    put(cx, (input, output), transpose(&array, &order)?)
}
