//! Distances and angles between vectors.

use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::elementwise;
use crate::reference::reduce::{self, Over};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.cosine_similarity.default", "x1 x2 dim eps", convert, evaluate),
    operator("aten.pairwise_distance.default", "x1 x2 p eps keepdim", convert_pair, evaluate_pair),
];

/// The product of both, each divided by its length, which is at least `eps`.
fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two) = (call.tensor("x1")?, call.tensor("x2")?);
    let (kind, sizes) = call.output(0)?;
    let axis = call.axis("dim", sizes.len() + 1, 1)? as i64;
    let axes = call.to.ints(&[axis - sizes.len() as i64 - 1]);
    let eps = call.float_or("eps", 1e-8)?;
    let eps = call.to.float(eps, kind);
    let mut unit = Vec::new();
    for tensor in [one, two] {
        let value = call.to.cast(&tensor.name, tensor.element_type, kind);
        let length = node("ReduceL2", &[&value, &axes]).with("keepdims", 1i64);
        let length = call.to.emit_node(length);
        let length = call.to.emit("Max", &[&length, &eps]);
        unit.push(call.to.emit("Div", &[&value, &length]));
    }
    let product = call.to.emit_node(node("Mul", &unit));
    let sum = node("ReduceSum", &[product, axes]).with("keepdims", 0i64);
    let result = call.to.emit_node(sum);
    call.give(0, result);
    Ok(())
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = (eval.tensor("x1")?, eval.tensor("x2")?);
    let rank = a.rank().max(b.rank());
    let axis = eval.axis("dim", rank, 1)? as i64 - rank as i64;
    let eps = eval.float_or("eps", 1e-8)?;
    let product = elementwise::mul(&a, &b)?;
    let sum = reduce::sum(&product, Over::axes(&[axis]))?;
    let mut result = sum;
    for array in [&a, &b] {
        let length = reduce::norm_l2(array, Over::axes(&[axis]))?;
        let length = elementwise::map(&length, |length| length.max(eps))?;
        result = elementwise::div(&result, &length)?;
    }
    one(Ok(result))
}

/// `|x1 - x2 + eps|` over the last axis.
fn convert_pair(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two) = (call.tensor("x1")?, call.tensor("x2")?);
    let (kind, _) = call.output(0)?;
    let p = call.float_or("p", 2.0)?;
    let op_type = match p {
        2.0 => "ReduceL2",
        1.0 => "ReduceL1",
        _ => return Err(Refusal::new(format!("a distance of order {p}"), "use order 1 or 2")),
    };
    let eps = call.float_or("eps", 1e-6)?;
    let eps = call.to.float(eps, kind);
    let apart = call.to.emit("Sub", &[&one.name, &two.name]);
    let apart = call.to.emit("Add", &[&apart, &eps]);
    let axes = call.to.ints(&[-1]);
    let kept = i64::from(call.bool_or("keepdim", false)?);
    let result = call.to.emit_node(node(op_type, &[apart, axes]).with("keepdims", kept));
    call.give(0, result);
    Ok(())
}

fn evaluate_pair(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = (eval.tensor("x1")?, eval.tensor("x2")?);
    let (p, eps) = (eval.float_or("p", 2.0)?, eval.float_or("eps", 1e-6)?);
    let apart = elementwise::map(&elementwise::sub(&a, &b)?, |value| value + eps)?;
    let over = Over { axes: Some(&[-1]), keep_dims: eval.bool_or("keepdim", false)? };
    one(reduce::norm(&apart, p, over))
}
