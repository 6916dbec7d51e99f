//! `BATCH_MATMUL`: products of the last two dimensions, either side turned around by an option.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::matmul::matmul;
use crate::reference::shape::swap_axes;

/// The real numbers of a factor, its last two axes exchanged when it is turned.
fn factor(cx: &mut Converter<'_>, tensor: usize, is_turned: bool) -> Result<String, Stop> {
    if !is_turned {
        return cx.real(tensor);
    }
    let rank = cx.rank(tensor);
    let mut order: Vec<usize> = (0..rank).collect();
    if rank < 2 {
        return Err(mismatch(format!("expected a matrix, found {rank} dimensions")));
    }
    order.swap(rank - 1, rank - 2);
    super::conv::filters(cx, tensor, &order)
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let inputs = [
        factor(cx, op.input(0)?, op.options.bool(0)?)?,
        factor(cx, op.input(1)?, op.options.bool(1)?)?,
    ];
    let y = cx.emitter.add(node("MatMul", &inputs));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (mut a, mut b) = (cx.real(op.input(0)?)?, cx.real(op.input(1)?)?);
    if op.options.bool(0)? {
        a = swap_axes(&a, -1, -2)?.into();
    }
    if op.options.bool(1)? {
        b = swap_axes(&b, -1, -2)?.into();
    }
    cx.give_real(op.output(0)?, matmul(&a, &b)?)
}
