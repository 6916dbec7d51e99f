//! `LayerNorm`: over one axis.

use super::super::infer::axis_of;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, normalize, shape};

pub(super) const OPERATOR: Operator = Operator { names: &["LayerNorm"], infer, convert, evaluate };

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let axis = input.axis(op.attributes.int_or("axis", -1)?)?;
    for index in [1, 2] {
        if info(inputs, index)?.dims != [input.dims[axis]] {
            return Err(Problem::shape("parameters of another size than the axis"));
        }
    }
    Ok(vec![input.clone()])
}

/// The order of axes that exchanges one with the last.
fn exchanged(axis: usize, rank: usize) -> Vec<i64> {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(axis, rank - 1);
    order
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let axis = axis_of(site.op.attributes.int_or("axis", -1)?, rank)?;
    let epsilon = site.op.attributes.float_or("eps", 1e-5)? as f32;
    let inner = axis + 1 == rank;
    let mut inputs = site.all_inputs()?;
    inputs.truncate(3);
    if !inner && let Some(x) = inputs.first_mut() {
        *x = site.transpose(x, &exchanged(axis, rank));
    }
    let norm = node("LayerNormalization", &inputs).with("axis", -1).with("epsilon", epsilon);
    let mut found = site.add(norm);
    if !inner {
        found = site.transpose(&found, &exchanged(axis, rank));
    }
    Ok(vec![found])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let axis = op.attributes.int_or("axis", -1)?;
    let affine = normalize::Affine { scale: Some(at(inputs, 1)?), bias: Some(at(inputs, 2)?) };
    let moved = shape::swap_axes(at(inputs, 0)?, axis, -1)?;
    let epsilon = op.attributes.float_or("eps", 1e-5)?;
    let found = normalize::layer_norm(&moved, -1, epsilon, affine)?;
    Ok(vec![shape::swap_axes(&found, axis, -1)?])
}
