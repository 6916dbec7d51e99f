//! `Concat`, `stack` and `add_n`: operators of any number of inputs.

use super::super::infer::axis_of;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::emitter::node;
use crate::reference::{elementwise, shape};

pub(super) const CONCAT: Operator = Operator {
    names: &["Concat", "concat", "_rnn_param_concat"],
    infer: infer_concat,
    convert: |site| {
        let axis = site.op.attributes.int_or("dim", 1)?;
        let inputs = site.all_inputs()?;
        Ok(vec![site.add(node("Concat", &inputs).with("axis", axis))])
    },
    evaluate: |op, inputs| Ok(vec![shape::concat(inputs, op.attributes.int_or("dim", 1)?)?]),
};

pub(super) const STACK: Operator = Operator {
    names: &["stack"],
    infer: |op, inputs| {
        let first = info(inputs, 0)?;
        if inputs.iter().any(|input| input != first) {
            return Err(Problem::shape("inputs of several shapes"));
        }
        let axis = axis_of(op.attributes.int_or("axis", 0)?, first.rank() + 1)?;
        let mut found = first.clone();
        found.dims.insert(axis, inputs.len());
        Ok(vec![found])
    },
    convert: convert_stack,
    evaluate: |op, inputs| Ok(vec![shape::stack(inputs, op.attributes.int_or("axis", 0)?)?]),
};

pub(super) const ADD_N: Operator = Operator {
    names: &["add_n", "ElementWiseSum", "_sum"],
    infer: |_, inputs| {
        let first = info(inputs, 0)?;
        match inputs.iter().all(|input| input == first) {
            true => Ok(vec![first.clone()]),
            false => Err(Problem::shape("inputs of several shapes")),
        }
    },
    convert: |site| {
        let inputs = site.all_inputs()?;
        Ok(vec![site.add(node("Sum", &inputs))])
    },
    evaluate: |_, inputs| {
        let mut sum = at(inputs, 0)?.clone();
        for input in inputs.iter().skip(1) {
            sum = elementwise::add(&sum, input)?;
        }
        Ok(vec![sum])
    },
};

fn infer_concat(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let mut found = info(inputs, 0)?.clone();
    let axis = found.axis(op.attributes.int_or("dim", 1)?)?;
    for input in inputs.iter().skip(1) {
        let mut expected = input.dims.clone();
        let size = expected.get(axis).copied().unwrap_or(0);
        if let Some(at) = expected.get_mut(axis) {
            *at = found.dims[axis];
        }
        if expected != found.dims || input.kind != found.kind {
            let (one, two) = (&found.dims, &input.dims);
            return Err(Problem::shape(format!("shapes {one:?} and {two:?} along {axis}")));
        }
        found.dims[axis] = found.dims[axis].saturating_add(size);
    }
    Ok(vec![found])
}

fn convert_stack(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let axis = axis_of(site.op.attributes.int_or("axis", 0)?, site.rank()? + 1)? as i64;
    let inputs = site.all_inputs()?;
    let taller: Vec<String> = inputs.iter().map(|input| site.unsqueeze(input, &[axis])).collect();
    Ok(vec![site.add(node("Concat", &taller).with("axis", axis))])
}
