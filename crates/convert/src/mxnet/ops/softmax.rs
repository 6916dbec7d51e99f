//! `softmax` and its kin, and the losses, which answer with predictions when nobody trains.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, kind_of, same};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, activations, elementwise, softmax};

pub(super) const OPERATOR: Operator = Operator {
    names: &["softmax", "softmin", "log_softmax", "SoftmaxActivation"],
    infer,
    convert,
    evaluate,
};

pub(super) const LOSS: Operator =
    Operator { names: &LABELLED, infer: same, convert: convert_loss, evaluate: evaluate_loss };

/// Losses, whose second input is a label.
pub(super) const LABELLED: [&str; 6] = [
    "SoftmaxOutput",
    "Softmax",
    "LinearRegressionOutput",
    "LogisticRegressionOutput",
    "MAERegressionOutput",
    "SVMOutput",
];

/// Over which axis; `None`: over all but the first.
fn axis(op: &Op<'_>) -> Result<Option<i64>, Problem> {
    let attributes = op.attributes;
    Ok(match op.operator {
        "SoftmaxActivation" if attributes.text("mode") == Some("channel") => Some(1),
        // What an instance is the documentation leaves open; MXNet 1.9 takes the last axis.
        "SoftmaxActivation" => Some(-1),
        "SoftmaxOutput" | "Softmax" => {
            if attributes.flag_or("multi_output", false)? {
                Some(1)
            } else if attributes.flag_or("preserve_shape", false)? {
                Some(-1)
            } else {
                None
            }
        }
        _ => Some(attributes.int_or("axis", -1)?),
    })
}

fn temperature(op: &Op<'_>) -> Result<f64, Problem> {
    op.attributes.float_or("temperature", 1.0)
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let mut found = same(op, inputs)?;
    if op.attributes.flag_or("use_length", false)? {
        return Err(Problem::refused("use_length", "mask the input before the softmax"));
    }
    for info in &mut found {
        if let Some(axis) = axis(op)? {
            info.axis(axis)?;
        }
        info.kind = kind_of(op.attributes, "dtype")?.unwrap_or(info.kind);
    }
    Ok(found)
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (axis, temperature) = (axis(&site.op)?, temperature(&site.op)?);
    let (from, to) = (site.kind()?, site.output(0)?.kind);
    let mut x = site.input(0)?;
    if site.op.operator == "softmin" {
        x = site.op("Neg", &[&x]);
    }
    if temperature != 1.0 {
        let temperature = site.number("temperature", from, temperature);
        x = site.op("Div", &[&x, &temperature]);
    }
    let op_type = if site.op.operator == "log_softmax" { "LogSoftmax" } else { "Softmax" };
    let found = over(site, op_type, &x, axis)?;
    Ok(vec![site.cast_from(&found, from, to)])
}

fn over(site: &mut Site<'_>, op_type: &str, x: &str, axis: Option<i64>) -> Result<String, Problem> {
    if let Some(axis) = axis {
        return Ok(site.add(node(op_type, &[x]).with("axis", axis)));
    }
    if site.rank()? <= 2 {
        return Ok(site.add(node(op_type, &[x]).with("axis", -1)));
    }
    let sizes = site.sizes_of(0)?;
    let flat = site.reshape(x, &[0, -1]);
    let flat = site.add(node(op_type, &[flat]).with("axis", -1));
    let sizes = site.list(&sizes);
    Ok(site.op("Reshape", &[&flat, &sizes]))
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let temperature = temperature(op)?;
    let sign = if op.operator == "softmin" { -1.0 } else { 1.0 };
    let x = elementwise::map(at(inputs, 0)?, |x| sign * x / temperature)?;
    let found = match (op.operator, axis(op)?) {
        ("log_softmax", Some(axis)) => softmax::log_softmax(&x, axis)?,
        (_, axis) => flat_softmax(&x, axis)?,
    };
    match kind_of(op.attributes, "dtype")? {
        Some(kind) => Ok(vec![elementwise::cast(&found, kind)?]),
        None => Ok(vec![found]),
    }
}

fn flat_softmax(x: &Array, axis: Option<i64>) -> Result<Array, EvaluateError> {
    if let Some(axis) = axis {
        return softmax::softmax(x, axis);
    }
    let rows = x.dims().first().copied().unwrap_or(1);
    let flat = x.clone().reshaped(&[rows, x.len() / rows.max(1)])?;
    softmax::softmax(&flat, -1)?.reshaped(x.dims())
}

fn convert_loss(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let x = site.input(0)?;
    Ok(vec![match site.op.operator {
        "SoftmaxOutput" | "Softmax" => {
            let axis = axis(&site.op)?;
            over(site, "Softmax", &x, axis)?
        }
        "LogisticRegressionOutput" => site.op("Sigmoid", &[&x]),
        _ => site.op("Identity", &[&x]),
    }])
}

fn evaluate_loss(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    Ok(vec![match op.operator {
        "SoftmaxOutput" | "Softmax" => flat_softmax(x, axis(op)?)?,
        "LogisticRegressionOutput" => elementwise::map(x, activations::sigmoid)?,
        _ => x.clone(),
    }])
}
