//! `FullyConnected`: `x Wᵀ + b`, over all but the first axis or (`flatten=False`) over the last.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, matmul};

pub(super) const OPERATOR: Operator =
    Operator { names: &["FullyConnected"], infer, convert, evaluate };

fn flattens(op: &Op<'_>) -> Result<bool, Problem> {
    op.attributes.flag_or("flatten", true)
}

fn has_bias(op: &Op<'_>) -> Result<bool, Problem> {
    Ok(!op.attributes.flag_or("no_bias", false)?)
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let (input, weight) = (info(inputs, 0)?, info(inputs, 1)?);
    if has_bias(op)? {
        info(inputs, 2)?;
    }
    let (mut dims, inner) = match (flattens(op)?, input.dims.as_slice()) {
        (true, [rows, rest @ ..]) => (vec![*rows], rest.iter().product::<usize>()),
        (false, [outer @ .., inner]) => (outer.to_vec(), *inner),
        _ => return Err(Problem::shape("an input without dimensions")),
    };
    if weight.rank() != 2 || weight.dims[1] != inner {
        let weight = &weight.dims;
        return Err(Problem::shape(format!("weights {weight:?} for {inner} inputs")));
    }
    dims.push(weight.dims[0]);
    Ok(vec![Info { dims, kind: input.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (rank, flattens) = (site.rank()?, flattens(&site.op)?);
    let has_bias = has_bias(&site.op)?;
    let (mut x, weight) = (site.input(0)?, site.input(1)?);
    if flattens && rank != 2 {
        x = site.reshape(&x, &[0, -1]);
    }
    if flattens || rank == 2 {
        let mut inputs = vec![x, weight];
        if has_bias {
            inputs.push(site.input(2)?);
        }
        return Ok(vec![site.add(node("Gemm", &inputs).with("transB", 1))]);
    }
    let weight = site.transpose(&weight, &[1, 0]);
    let mut found = site.op("MatMul", &[&x, &weight]);
    if has_bias {
        let bias = site.input(2)?;
        found = site.op("Add", &[&found, &bias]);
    }
    Ok(vec![found])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let bias = if has_bias(op)? { Some(at(inputs, 2)?) } else { None };
    let (x, weight) = (at(inputs, 0)?, at(inputs, 1)?);
    if !flattens(op)? {
        return Ok(vec![matmul::linear(x, weight, bias)?]);
    }
    let rows = x.dims().first().copied().unwrap_or(1);
    let flat = x.clone().reshaped(&[rows, x.len() / rows.max(1)])?;
    Ok(vec![matmul::linear(&flat, weight, bias)?])
}
