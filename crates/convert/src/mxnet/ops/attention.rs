//! The products of attention that GluonNLP's transformers are made of:
//! `_contrib_interleaved_matmul_selfatt_qk` and `_valatt`, `_contrib_div_sqrt_dim`.
//!
//! Queries, keys and values of all heads stand side by side: `[length, batch, heads * 3 * size]`.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::reference::{Array, elementwise, matmul, shape};

pub(super) const SCORES: Operator = Operator {
    names: &["_contrib_interleaved_matmul_selfatt_qk"],
    infer: |op, inputs| {
        let (length, batch, heads, _) = parts(op, &info(inputs, 0)?.dims)?;
        let rows = batch.saturating_mul(heads);
        Ok(vec![Info::new(info(inputs, 0)?.kind, &[rows, length, length])])
    },
    convert: convert_scores,
    evaluate: evaluate_scores,
};

pub(super) const VALUES: Operator = Operator {
    names: &["_contrib_interleaved_matmul_selfatt_valatt"],
    infer: |op, inputs| {
        let (length, batch, heads, size) = parts(op, &info(inputs, 0)?.dims)?;
        let weights = &info(inputs, 1)?.dims;
        if *weights != [batch * heads, length, length] {
            return Err(Problem::shape(format!("weights of shape {weights:?}")));
        }
        Ok(vec![Info::new(info(inputs, 0)?.kind, &[length, batch, heads * size])])
    },
    convert: convert_values,
    evaluate: evaluate_values,
};

pub(super) const SCALE: Operator = Operator {
    names: &["_contrib_div_sqrt_dim"],
    infer: super::same,
    convert: |site| {
        let (rank, kind) = (site.rank()?, site.kind()?);
        let size = site.size(0, rank.saturating_sub(1))?;
        let x = site.input(0)?;
        let root = site.number("root", kind, (size as f64).sqrt());
        Ok(vec![site.op("Div", &[&x, &root])])
    },
    evaluate: |_, inputs| {
        let x = at(inputs, 0)?;
        let root = (x.dims().last().copied().unwrap_or(1) as f64).sqrt();
        Ok(vec![elementwise::map(x, |x| x / root)?])
    },
};

/// Length, batch, heads and size of a head.
fn parts(op: &Op<'_>, dims: &[usize]) -> Result<(usize, usize, usize, usize), Problem> {
    let heads = op.attributes.need_count("heads")?;
    match dims {
        [length, batch, width] if heads > 0 && width % (3 * heads) == 0 => {
            Ok((*length, *batch, heads, width / heads / 3))
        }
        found => Err(Problem::shape(format!("{heads} heads in shape {found:?}"))),
    }
}

/// Queries (0), keys (1) or values (2), as `[batch, heads, length, size]`.
fn part(site: &mut Site<'_>, x: &str, heads: i64, which: i64) -> String {
    let x = site.reshape(x, &[0, 0, heads, 3, -1]);
    let x = site.slice(&x, 3, which, which + 1);
    let x = site.squeeze(&x, &[3]);
    site.transpose(&x, &[1, 2, 0, 3])
}

fn convert_scores(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let heads = site.op.attributes.need_int("heads")?;
    let size = site.size(0, 2)? as f64 / heads as f64 / 3.0;
    let kind = site.kind()?;
    let length = site.sizes_of(0)?;
    let x = site.input(0)?;
    let (queries, keys) = (part(site, &x, heads, 0), part(site, &x, heads, 1));
    let root = site.number("root", kind, size.sqrt());
    let queries = site.op("Div", &[&queries, &root]);
    let keys = site.transpose(&keys, &[0, 1, 3, 2]);
    let scores = site.op("MatMul", &[&queries, &keys]);
    // Batch and heads become one.
    let first = super::super::site::Size::Fixed(-1);
    let length = length.first().cloned().unwrap_or(first.clone());
    let dims = site.list(&[first, length.clone(), length]);
    Ok(vec![site.op("Reshape", &[&scores, &dims])])
}

fn convert_values(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let heads = site.op.attributes.need_int("heads")?;
    let length = site.sizes_of(0)?;
    let (x, weights) = (site.input(0)?, site.input(1)?);
    let values = part(site, &x, heads, 2);
    let (first, fixed) = (super::super::site::Size::Fixed(-1), super::super::site::Size::Fixed);
    let length = length.first().cloned().unwrap_or(first.clone());
    let dims = site.list(&[first, fixed(heads), length.clone(), length]);
    let weights = site.op("Reshape", &[&weights, &dims]);
    let found = site.op("MatMul", &[&weights, &values]);
    let found = site.transpose(&found, &[2, 0, 1, 3]);
    Ok(vec![site.reshape(&found, &[0, 0, -1])])
}

/// The same for evaluation: `[batch * heads, length, size]`.
fn rows(
    x: &Array,
    parts: (usize, usize, usize, usize),
    which: usize,
) -> Result<Array, EvaluateError> {
    let (length, batch, heads, size) = parts;
    let x = x.clone().reshaped(&[length, batch, heads, 3, size])?;
    let x = shape::narrow(&x, 3, which, 1)?;
    let x = shape::transpose(&x.reshaped(&[length, batch, heads, size])?, &[1, 2, 0, 3])?;
    x.reshaped(&[batch * heads, length, size])
}

fn evaluate_scores(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let parts = parts(op, x.dims())?;
    let root = (parts.3 as f64).sqrt();
    let queries = elementwise::map(&rows(x, parts, 0)?, |x| x / root)?;
    let keys = shape::swap_axes(&rows(x, parts, 1)?, -1, -2)?;
    Ok(vec![matmul::matmul(&queries, &keys)?])
}

fn evaluate_values(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let parts = parts(op, x.dims())?;
    let (length, batch, heads, size) = parts;
    let found = matmul::matmul(at(inputs, 1)?, &rows(x, parts, 2)?)?;
    let found = found.reshaped(&[batch, heads, length, size])?;
    let found = shape::transpose(&found, &[2, 0, 1, 3])?;
    Ok(vec![found.reshaped(&[length, batch, heads * size])?])
}
