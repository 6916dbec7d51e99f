//! `Activation`: the functions that have no parameters.

use super::super::site::Site;
use super::{Op, Operator, Problem, at, same};
use crate::reference::{activations, elementwise};

pub(super) const OPERATOR: Operator = Operator {
    names: &["Activation"],
    infer: |op, inputs| {
        function(op)?;
        same(op, inputs)
    },
    convert,
    evaluate: |op, inputs| Ok(vec![elementwise::map(at(inputs, 0)?, function(op)?)?]),
};

fn function(op: &Op<'_>) -> Result<fn(f64) -> f64, Problem> {
    Ok(match op.attributes.text("act_type").unwrap_or_default() {
        "relu" => activations::relu,
        "sigmoid" => activations::sigmoid,
        "tanh" => f64::tanh,
        "softrelu" => activations::softplus,
        "softsign" => activations::softsign,
        other => return Err(Problem::shape(format!("there is no activation '{other}'"))),
    })
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let x = site.input(0)?;
    let found = match site.op.attributes.text("act_type").unwrap_or_default() {
        "relu" => site.op("Relu", &[&x]),
        "sigmoid" => site.op("Sigmoid", &[&x]),
        "tanh" => site.op("Tanh", &[&x]),
        "softrelu" => site.op("Softplus", &[&x]),
        _ => site.op("Softsign", &[&x]),
    };
    Ok(vec![found])
}
