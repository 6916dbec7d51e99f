//! `FULLY_CONNECTED`: weights `[out, in]`. The input is seen as rows of `in` elements, or keeps its
//! dimensions but for the last.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::products::Operands;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, weights) = (op.input(0)?, op.input(1)?);
    if op.options.code(1)? != 0 {
        let way_out = "convert the model to TensorFlow Lite again without shuffled weights";
        return Err(refused("shuffled weights", way_out));
    }
    let activation = cx.activation(op, 0)?;
    let Some(&[_, width]) = cx.fixed_dims(weights).as_deref() else {
        let found = cx.rank(weights);
        return Err(mismatch(format!("expected weights of 2 dimensions, found {found}")));
    };
    let keeps = op.options.bool(2)? && cx.rank(input) > 2;
    let x = rows(cx, input, width, keeps)?;
    let y = if keeps { matmul(cx, op, &x)? } else { gemm(cx, op, &x)? };
    let y = cx.activated(&y, activation);
    cx.give(op.output(0)?, y)
}

/// Rows times weights, which are taken as they are stored.
fn gemm(cx: &mut Converter<'_>, op: &Operator, x: &str) -> Result<String, Stop> {
    let mut inputs = vec![x.to_owned(), cx.real(op.input(1)?)?];
    if let Some(bias) = op.optional(2) {
        inputs.push(cx.real(bias)?);
    }
    Ok(cx.emitter.add(node("Gemm", &inputs).with("transB", 1i64)))
}

/// More than two dimensions times weights.
fn matmul(cx: &mut Converter<'_>, op: &Operator, x: &str) -> Result<String, Stop> {
    let w = super::conv::filters(cx, op.input(1)?, &[1, 0])?;
    let y = cx.emitter.add(node("MatMul", &[x, &w]));
    let Some(bias) = op.optional(2) else { return Ok(y) };
    let bias = cx.real(bias)?;
    Ok(cx.emitter.add(node("Add", &[y, bias])))
}

/// The input as rows of `width` elements, unless it is that or keeps its dimensions.
fn rows(cx: &mut Converter<'_>, input: usize, width: usize, keeps: bool) -> Result<String, Stop> {
    if keeps || (cx.rank(input) == 2 && cx.dims(input)[1] == Some(width)) {
        return cx.real(input);
    }
    let shape = cx.emitter.integers("shape", &[-1, width as i64]);
    match cx.tensor(input).quantized().cloned() {
        Some(quantization) => {
            let raw = cx.raw(input)?;
            let raw = cx.emitter.add(node("Reshape", &[raw, shape]));
            let element_type = cx.element_type(input)?;
            cx.dequantize(&raw, element_type, &quantization)
        }
        None => {
            let real = cx.real(input)?;
            Ok(cx.emitter.add(node("Reshape", &[real, shape])))
        }
    }
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, weights) = (op.input(0)?, op.input(1)?);
    let width = cx.raw(weights)?.dims().last().copied().unwrap_or(1).max(1);
    let rows = |dims: &[usize]| dims.iter().product::<usize>() / width;
    let operands = Operands::read(cx, (input, weights), op.options.bool(3)?, rows)?;
    let &[out, k] = operands.weight_dims.as_slice() else {
        let found = &operands.weight_dims;
        return Err(mismatch(format!("expected weights of 2 dimensions, found {found:?}")));
    };
    let sums = operands.products(&operands.x, &operands.weights, out, k)?;
    let dims = match (op.options.bool(2)?, operands.x_dims.split_last()) {
        (true, Some((_, outer))) => [outer, &[out]].concat(),
        _ => vec![operands.x.len() / k, out],
    };
    operands.finish(cx, (op.output(0)?, &dims), sums, op.optional(2), op.activation(0)?)
}
