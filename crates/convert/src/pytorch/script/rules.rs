//! Results of operators that are costly to compute, by rules for their types and sizes.

use modelyard_graph::ElementType;

use super::shapes::World;
use super::value::{NumberKind, Value};
use crate::pytorch::arguments::Arguments;
use crate::pytorch::graph::{Argument, Node};
use crate::pytorch::types::{self, Kind, Operand, is_float};
use crate::pytorch::{inplace, ops};

type Shape = (ElementType, Vec<usize>);

impl World<'_> {
    /// What an operand counts as in the promotion of types, and its sizes.
    fn operand(&self, argument: &Argument) -> Option<(Operand, &[usize])> {
        Some(match argument {
            Argument::Int(_) => (Operand::Number(Kind::Int), &[]),
            Argument::Float(_) => (Operand::Number(Kind::Float), &[]),
            Argument::Bool(_) => (Operand::Number(Kind::Bool), &[]),
            Argument::Value(name) => match self.values.get(name)? {
                Value::Number(number) => {
                    let kind = match number.kind {
                        NumberKind::Int => Kind::Int,
                        NumberKind::Float => Kind::Float,
                        NumberKind::Bool => Kind::Bool,
                    };
                    (Operand::Number(kind), &[])
                }
                Value::Tensor(_) => {
                    let (element_type, dims) = self.shape(argument)?;
                    match dims {
                        [] => (Operand::Scalar(element_type), dims),
                        _ => (Operand::Tensor(element_type), dims),
                    }
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The one result of a call by a rule; `None` where there is none for it.
    pub(super) fn rule(&self, node: &Node) -> Option<Shape> {
        let first = self.shape(&node.arguments.first()?.value);
        if inplace::computed_by(&node.target).is_some() {
            ops::find(&inplace::computed_by(&node.target)?)?;
            let (element_type, dims) = first?;
            return Some((element_type, dims.to_vec()));
        }
        let operator = ops::find(&node.target)?;
        let arguments = Arguments::new(node, operator.parameters);
        let name = node.target.strip_prefix("aten.")?.split('.').next()?;
        if SAME.contains(&name) {
            let (element_type, dims) = first?;
            let keeps = is_float(element_type) && !arguments.has("dtype");
            return keeps.then(|| (element_type, dims.to_vec()));
        }
        match name {
            "add" | "sub" | "mul" | "maximum" | "minimum" | "pow" | "remainder" | "rsub" => {
                let (operands, dims) =
                    self.broadcast(&arguments, &["self", "other", "exponent"])?;
                Some((types::result_type(&operands), dims))
            }
            "div" if !arguments.has("rounding_mode") => {
                let (operands, dims) = self.broadcast(&arguments, &["self", "other"])?;
                let element_type = types::result_type(&operands);
                let float = is_float(element_type);
                Some((if float { element_type } else { ElementType::Float32 }, dims))
            }
            "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "logical_and" | "logical_or" => {
                let (_, dims) = self.broadcast(&arguments, &["self", "other"])?;
                Some((ElementType::Bool, dims))
            }
            "conv1d" | "conv2d" | "conv3d" | "_convolution" | "convolution" => {
                self.convolution(&arguments)
            }
            "linear" => {
                let (element_type, dims) = first?;
                let (_, weight) = self.shape(arguments.get("weight"))?;
                let mut dims = dims.to_vec();
                let (last, [rows, columns]) = (dims.last_mut()?, weight) else { return None };
                (*last == *columns).then_some(())?;
                *last = *rows;
                Some((element_type, dims))
            }
            "matmul" | "bmm" | "mm" => {
                let other = if name == "matmul" { "other" } else { "mat2" };
                let (element_type, one) = first?;
                let (_, two) = self.shape(arguments.get(other))?;
                Some((element_type, product(one, two)?))
            }
            "scaled_dot_product_attention" => {
                let (element_type, query) = first?;
                let (_, value) = self.shape(arguments.get("value"))?;
                let mut dims = query.to_vec();
                *dims.last_mut()? = *value.last()?;
                (query.len() == value.len()).then_some((element_type, dims))
            }
            _ => None,
        }
    }

    fn broadcast(
        &self,
        arguments: &Arguments<'_>,
        names: &[&str],
    ) -> Option<(Vec<Operand>, Vec<usize>)> {
        let mut operands = Vec::new();
        let mut all: Vec<usize> = Vec::new();
        for name in names.iter().filter(|name| arguments.has(name)) {
            let (operand, dims) = self.operand(arguments.get(name))?;
            operands.push(operand);
            all = broadcast(&all, dims)?;
        }
        (operands.len() == 2).then_some((operands, all))
    }

    fn convolution(&self, arguments: &Arguments<'_>) -> Option<Shape> {
        if arguments.get("transposed") == &Argument::Bool(true) {
            return None;
        }
        let (element_type, input) = self.shape(arguments.get("input"))?;
        let (_, weight) = self.shape(arguments.get("weight"))?;
        let rank = weight.len().checked_sub(2)?;
        // Without a batch is rare: that is tried out.
        (input.len() == weight.len()).then_some(())?;
        let groups = match arguments.get("groups") {
            Argument::None => 1,
            Argument::Int(groups) => usize::try_from(*groups).ok()?,
            _ => return None,
        };
        (*input.get(1)? == weight.get(1)?.checked_mul(groups)?).then_some(())?;
        let stride = spatial(arguments.get("stride"), rank, 1)?;
        let padding = spatial(arguments.get("padding"), rank, 0)?;
        let dilation = spatial(arguments.get("dilation"), rank, 1)?;
        let mut dims = vec![*input.first()?, *weight.first()?];
        for axis in 0..rank {
            let (size, kernel) = (*input.get(axis + 2)?, *weight.get(axis + 2)?);
            let padded = size.checked_add(padding[axis].checked_mul(2)?)?;
            let reach = dilation[axis].checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
            dims.push(padded.checked_sub(reach)?.checked_div(stride[axis])? + 1);
        }
        Some((element_type, dims))
    }
}

/// Operators whose result is as their first argument, where that is of floats.
const SAME: [&str; 34] = [
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "gelu",
    "silu",
    "mish",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "hardtanh",
    "hardswish",
    "hardsigmoid",
    "softplus",
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "softmax",
    "log_softmax",
    "batch_norm",
    "instance_norm",
    "layer_norm",
    "group_norm",
    "neg",
    "abs",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "erf",
    "sin",
    "cos",
    "square",
];

/// As many sizes as there are spatial dimensions.
fn spatial(argument: &Argument, rank: usize, default: usize) -> Option<Vec<usize>> {
    let size = |argument: &Argument| match argument {
        Argument::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    };
    match argument {
        Argument::None => Some(vec![default; rank]),
        Argument::Int(_) => Some(vec![size(argument)?; rank]),
        Argument::List(items) => {
            let all: Vec<usize> = items.iter().map(size).collect::<Option<_>>()?;
            match all.as_slice() {
                [one] => Some(vec![*one; rank]),
                _ => (all.len() == rank).then_some(all),
            }
        }
        _ => None,
    }
}

/// Sizes that both are stretched to.
fn broadcast(one: &[usize], two: &[usize]) -> Option<Vec<usize>> {
    let rank = one.len().max(two.len());
    let size = |dims: &[usize], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(at) => dims.get(at).copied().unwrap_or(1),
        None => 1,
    };
    let pair = |axis| match (size(one, axis), size(two, axis)) {
        (1, other) | (other, 1) => Some(other),
        (one, two) => (one == two).then_some(one),
    };
    (0..rank).map(pair).collect()
}

/// Sizes of a product of matrices.
fn product(one: &[usize], two: &[usize]) -> Option<Vec<usize>> {
    let ([outer @ .., rows, inner], [others @ .., same, columns]) = (one, two) else { return None };
    (inner == same).then_some(())?;
    let mut dims = broadcast(outer, others)?;
    dims.extend([*rows, *columns]);
    Some(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_stretched() {
        assert_eq!(broadcast(&[2, 1, 3], &[4, 1]), Some(vec![2, 4, 3]));
        assert_eq!(broadcast(&[], &[4]), Some(vec![4]));
        assert_eq!(broadcast(&[2], &[3]), None);
        assert_eq!(product(&[5, 2, 3], &[3, 4]), Some(vec![5, 2, 4]));
        assert_eq!(product(&[2, 3], &[4, 4]), None);
    }
}
