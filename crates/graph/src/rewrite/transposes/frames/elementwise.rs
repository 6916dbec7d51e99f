//! Arithmetic and activations.

use super::super::super::identity::trains;
use super::super::super::net::{Net, Op};
use super::moved::{Moved, Operand};
use super::{Build, Frame};

/// Operators of one input, and those whose other inputs are single numbers.
const UNARY: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// Operators of several inputs that are stretched to each other.
const BROADCASTING: &[&str] = &[
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
];

pub(super) fn build(operator: &str) -> Option<Build> {
    if operator == "Dropout" {
        // In training, what is drawn by chance depends on the order.
        return Some(|net, op| {
            (!trains(net, op)).then_some(())?;
            Moved::first(net, op)?.boxed()
        });
    }
    if UNARY.contains(&operator) {
        return Some(|net, op| Moved::first(net, op)?.boxed());
    }
    BROADCASTING.contains(&operator).then_some(broadcasting as Build)
}

/// Whether an operator treats each element of its only real input alone.
pub(super) fn is_unary(operator: &str) -> bool {
    UNARY.contains(&operator)
}

fn broadcasting(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let inputs: Vec<usize> = op.inputs.iter().copied().collect::<Option<_>>()?;
    let ranks: Vec<usize> = inputs.iter().map(|&input| net.rank(input)).collect::<Option<_>>()?;
    let rank = ranks.iter().copied().max()?;
    let operands = inputs.iter().zip(&ranks).map(|(&input, &own)| {
        let is_single = net.dims(input).is_some_and(|dims| dims.iter().all(|dim| dim.is_one()));
        match own {
            _ if is_single => Operand::Apart,
            own if own == rank => Operand::Whole,
            own => Operand::Last(own),
        }
    });
    let operands: Vec<Operand> = operands.collect();
    // Where only single numbers have all axes, nothing moves.
    if !operands.contains(&Operand::Whole) {
        return None;
    }
    Moved::of(rank, operands, op.outputs.len()).boxed()
}
