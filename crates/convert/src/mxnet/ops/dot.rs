//! `dot` and `batch_dot`: products of matrices.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::reference::{Array, matmul, shape};

pub(super) const BATCH_DOT: Operator = Operator {
    names: &["batch_dot", "linalg_gemm2", "_linalg_gemm2"],
    infer: infer_batch,
    convert: convert_batch,
    evaluate: evaluate_batch,
};

pub(super) const DOT: Operator =
    Operator { names: &["dot"], infer: infer_dot, convert: convert_dot, evaluate: evaluate_dot };

/// Which of the two are transposed first.
fn transposed(op: &Op<'_>) -> Result<(bool, bool), Problem> {
    let flag = |key| op.attributes.flag_or(key, false);
    Ok((flag("transpose_a")?, flag("transpose_b")?))
}

fn swapped(dims: &[usize], swap: bool) -> Vec<usize> {
    let mut dims = dims.to_vec();
    if swap && let [.., one, two] = dims.as_mut_slice() {
        std::mem::swap(one, two);
    }
    dims
}

fn infer_batch(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let (one, two) = (info(inputs, 0)?, info(inputs, 1)?);
    let (first, second) = transposed(op)?;
    let (left, right) = (swapped(&one.dims, first), swapped(&two.dims, second));
    let mismatch = || Problem::shape(format!("a product of {left:?} and {right:?}"));
    match (left.as_slice(), right.as_slice()) {
        ([outer @ .., m, k], [others @ .., l, n]) if outer == others && k == l => {
            let dims = [outer, &[*m, *n]].concat();
            Ok(vec![Info { dims, kind: one.kind }])
        }
        _ => Err(mismatch()),
    }
}

/// The order that exchanges the last two axes.
fn exchange(rank: usize) -> Vec<i64> {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    if let [.., one, two] = order.as_mut_slice() {
        std::mem::swap(one, two);
    }
    order
}

fn alpha(op: &Op<'_>) -> Result<f64, Problem> {
    op.attributes.float_or("alpha", 1.0)
}

fn convert_batch(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (first, second) = transposed(&site.op)?;
    let (alpha, kind) = (alpha(&site.op)?, site.kind()?);
    let order = exchange(site.rank()?);
    let (mut one, mut two) = (site.input(0)?, site.input(1)?);
    if first {
        one = site.transpose(&one, &order);
    }
    if second {
        two = site.transpose(&two, &order);
    }
    let mut found = site.op("MatMul", &[&one, &two]);
    if alpha != 1.0 {
        let alpha = site.number("alpha", kind, alpha);
        found = site.op("Mul", &[&found, &alpha]);
    }
    Ok(vec![found])
}

fn evaluate_batch(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (first, second) = transposed(op)?;
    let turned = |array: &Array, turn: bool| match turn {
        true => shape::swap_axes(array, -1, -2),
        false => Ok(array.clone()),
    };
    let (one, two) = (turned(at(inputs, 0)?, first)?, turned(at(inputs, 1)?, second)?);
    let found = matmul::matmul(&one, &two)?;
    let alpha = alpha(op)?;
    Ok(vec![match alpha == 1.0 {
        true => found,
        false => crate::reference::elementwise::map(&found, |value| value * alpha)?,
    }])
}

/// The last axis of the one meets the first of the other; `transpose_a` moves the first axis of the
/// one to its end, `transpose_b` the last of the other to its front.
fn infer_dot(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let (one, two) = (info(inputs, 0)?, info(inputs, 1)?);
    let (first, second) = transposed(op)?;
    let mut left = one.dims.clone();
    let mut right = two.dims.clone();
    if first && !left.is_empty() {
        left.rotate_left(1);
    }
    if second && !right.is_empty() {
        right.rotate_right(1);
    }
    match (left.as_slice(), right.as_slice()) {
        ([outer @ .., k], [l, others @ ..]) if k == l => {
            let mut dims = [outer, others].concat();
            if dims.is_empty() {
                dims.push(1);
            }
            Ok(vec![Info { dims, kind: one.kind }])
        }
        _ => Err(Problem::shape(format!("a product of {left:?} and {right:?}"))),
    }
}

fn convert_dot(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (first, second) = transposed(&site.op)?;
    let (rank, other) = (site.rank()?, site.known(1)?.rank());
    if other > 2 {
        let way_out = "reshape it to a matrix first";
        return Err(Problem::refused(format!("a second input of rank {other}"), way_out));
    }
    let (mut one, mut two) = (site.input(0)?, site.input(1)?);
    if first && rank > 1 {
        let order: Vec<i64> = (1..rank as i64).chain([0]).collect();
        one = site.transpose(&one, &order);
    }
    if second && other == 2 {
        two = site.transpose(&two, &[1, 0]);
    }
    let found = site.op("MatMul", &[&one, &two]);
    Ok(vec![if rank == 1 && other == 1 { site.unsqueeze(&found, &[0]) } else { found }])
}

fn evaluate_dot(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (first, second) = transposed(op)?;
    let (mut one, mut two) = (at(inputs, 0)?.clone(), at(inputs, 1)?.clone());
    if first && one.rank() > 1 {
        let order: Vec<usize> = (1..one.rank()).chain([0]).collect();
        one = shape::transpose(&one, &order)?;
    }
    if second && two.rank() > 1 {
        let last = two.rank() - 1;
        let order: Vec<usize> = [last].into_iter().chain(0..last).collect();
        two = shape::transpose(&two, &order)?;
    }
    // As matrices: all outer axes of the one side by side, and those of the other.
    let inner = two.dims().first().copied().unwrap_or(1);
    let outer = [&one.dims()[..one.rank().saturating_sub(1)], two.dims().get(1..).unwrap_or(&[])];
    let dims = outer.concat();
    let rows = one.len() / inner.max(1);
    let columns = two.len() / inner.max(1);
    let one = one.reshaped(&[rows, inner])?;
    let two = two.reshaped(&[inner, columns])?;
    let dims = if dims.is_empty() { vec![1] } else { dims };
    Ok(vec![matmul::matmul(&one, &two)?.reshaped(&dims)?])
}
