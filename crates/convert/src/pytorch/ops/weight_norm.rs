//! Weights given as direction and length.

use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::elementwise;
use crate::reference::reduce::{self, Over};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten._weight_norm.default", "v g dim", convert, evaluate),
    operator("aten._weight_norm_interface.default", "v g dim", convert, evaluate),
];

/// All axes but one; all of them where `dim` is -1.
fn other_axes(dim: i64, rank: usize) -> Vec<i64> {
    (0..rank as i64).filter(|&axis| axis != dim).collect()
}

/// `v * g / |v|`, the norm over all axes but `dim`.
fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (direction, length) = (call.tensor("v")?, call.tensor("g")?);
    let dim = call.int_or("dim", 0)?;
    let axes = call.to.ints(&other_axes(dim, direction.rank()));
    let norm = node("ReduceL2", &[&direction.name, &axes]).with("keepdims", 1i64);
    let norm = call.to.emit_node(norm);
    let factor = call.to.emit("Div", &[&length.name, &norm]);
    let result = call.to.emit("Mul", &[&direction.name, &factor]);
    call.give(0, result);
    if call.wants(1) {
        call.give(1, norm);
    }
    Ok(())
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let (direction, length) = (eval.tensor("v")?, eval.tensor("g")?);
    let axes = other_axes(eval.int_or("dim", 0)?, direction.rank());
    let norm = reduce::norm_l2(&direction, Over::kept(&axes))?;
    let result = elementwise::mul(&direction, &elementwise::div(&length, &norm)?)?;
    if eval.outputs() < 2 {
        return one(Ok(result));
    }
    Ok(vec![result.into(), norm.into()])
}
