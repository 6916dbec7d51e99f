//! `L2Normalization` and `LRN`.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, same};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, elementwise, normalize};

pub(super) const L2: Operator = Operator {
    names: &["L2Normalization"],
    infer: |op, inputs: &[Info]| {
        let found = same(op, inputs)?;
        axes(op, found.first().map_or(0, Info::rank))?;
        Ok(found)
    },
    convert,
    evaluate,
};

pub(super) const LRN: Operator =
    Operator { names: &["LRN"], infer: same, convert: convert_lrn, evaluate: evaluate_lrn };

/// The axes that are normalized together.
fn axes(op: &Op<'_>, rank: usize) -> Result<Vec<i64>, Problem> {
    let rank = rank as i64;
    match op.attributes.text("mode").unwrap_or("instance") {
        "instance" => Ok((1..rank).collect()),
        "channel" => Ok(vec![1]),
        "spatial" => Ok((2..rank).collect()),
        other => Err(Problem::shape(format!("there is no mode '{other}'"))),
    }
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let axes = axes(&site.op, site.rank()?)?;
    let (epsilon, kind) = (site.op.attributes.float_or("eps", 1e-10)?, site.kind()?);
    let x = site.input(0)?;
    let square = site.op("Mul", &[&x, &x]);
    let axes = site.ints("axes", &axes);
    let sum = site.op("ReduceSum", &[&square, &axes]);
    let epsilon = site.number("epsilon", kind, epsilon);
    let sum = site.op("Add", &[&sum, &epsilon]);
    let norm = site.op("Sqrt", &[&sum]);
    Ok(vec![site.op("Div", &[&x, &norm])])
}

/// `x / sqrt(Σ x² + eps)`
fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let epsilon = op.attributes.float_or("eps", 1e-10)?;
    let sum = reduce::sum_of_squares(x, Over::kept(&axes(op, x.rank())?))?;
    let norm = elementwise::map(&sum, |sum| (sum + epsilon).sqrt())?;
    Ok(vec![elementwise::div(x, &norm)?])
}

/// `x / (knorm + alpha / nsize * Σ x²)^beta` over neighbouring channels.
fn response(op: &Op<'_>) -> Result<(usize, f64, f64, f64), Problem> {
    let attributes = op.attributes;
    Ok((
        attributes.need_count("nsize")?.max(1),
        attributes.float_or("alpha", 1e-4)?,
        attributes.float_or("beta", 0.75)?,
        attributes.float_or("knorm", 2.0)?,
    ))
}

fn convert_lrn(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (size, alpha, beta, bias) = response(&site.op)?;
    let x = site.input(0)?;
    let found = node("LRN", &[x])
        .with("size", size as i64)
        .with("alpha", alpha as f32)
        .with("beta", beta as f32)
        .with("bias", bias as f32);
    Ok(vec![site.add(found)])
}

fn evaluate_lrn(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (size, alpha, beta, bias) = response(op)?;
    let half = size / 2;
    let alpha = alpha / size as f64;
    let how = normalize::LocalResponse { before: half, after: half, bias, alpha, beta };
    Ok(vec![normalize::local_response(at(inputs, 0)?, 1, how)?])
}
