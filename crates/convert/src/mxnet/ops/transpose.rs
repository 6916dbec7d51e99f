//! `transpose` and `SwapAxis`.

use super::super::infer::axis_of;
use super::{Info, Op, Operator, Problem, at, info};
use crate::reference::shape;

pub(super) const TRANSPOSE: Operator = Operator {
    names: &["transpose", "_np_transpose"],
    infer: |op, inputs| permuted(info(inputs, 0)?, &order(op, info(inputs, 0)?.rank())?),
    convert: |site| {
        let order: Vec<i64> = order(&site.op, site.rank()?)?.iter().map(|&it| it as i64).collect();
        let x = site.input(0)?;
        Ok(vec![site.transpose(&x, &order)])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        Ok(vec![shape::transpose(x, &order(op, x.rank())?)?])
    },
};

pub(super) const SWAP: Operator = Operator {
    names: &["SwapAxis", "swapaxes", "SwapAxes"],
    infer: |op, inputs| permuted(info(inputs, 0)?, &swapped(op, info(inputs, 0)?.rank())?),
    convert: |site| {
        let order = swapped(&site.op, site.rank()?)?;
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        let x = site.input(0)?;
        Ok(vec![site.transpose(&x, &order)])
    },
    evaluate: |op, inputs| {
        let (one, two) = (op.attributes.int_or("dim1", 0)?, op.attributes.int_or("dim2", 0)?);
        Ok(vec![shape::swap_axes(at(inputs, 0)?, one, two)?])
    },
};

/// The order of axes; turned around unless said.
fn order(op: &Op<'_>, rank: usize) -> Result<Vec<usize>, Problem> {
    let axes = op.attributes.ints("axes")?.unwrap_or_default();
    if axes.is_empty() {
        return Ok((0..rank).rev().collect());
    }
    let order: Vec<usize> =
        axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..rank) {
        true => Ok(order),
        false => Err(Problem::shape(format!("axes {axes:?} of {rank}"))),
    }
}

fn swapped(op: &Op<'_>, rank: usize) -> Result<Vec<usize>, Problem> {
    let axis = |key| axis_of(op.attributes.int_or(key, 0)?, rank);
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(axis("dim1")?, axis("dim2")?);
    Ok(order)
}

fn permuted(input: &Info, order: &[usize]) -> Result<Vec<Info>, Problem> {
    let dims = order.iter().filter_map(|&axis| input.dims.get(axis)).copied().collect();
    Ok(vec![Info { dims, kind: input.kind }])
}
