//! What the results of a call are in one world: by rules for operators that are costly to compute,
//! by computing the others on zeros of the right sizes. Where all that goes in is known, so is
//! what comes out.

use std::cell::Cell;
use std::collections::HashMap;

use modelyard_graph::ElementType;

use super::tensors::{Given, Outcome, outcome};
use super::value::{Number, NumberKind, Seen, Tensor, Value};
use crate::pytorch::arguments::Arguments;
use crate::pytorch::convert::Scalar;
use crate::pytorch::evaluate::{self, Strided};
use crate::pytorch::graph::{Argument, Node};
use crate::pytorch::types::{self, Kind, Operand, is_float};
use crate::pytorch::{inplace, ops};
use crate::reference::Array;

/// One of the worlds.
#[derive(Clone, Copy)]
pub(super) struct World<'v> {
    pub(super) values: &'v HashMap<String, Value>,
    pub(super) world: usize,
    /// How many more elements may be made.
    pub(super) work: &'v Cell<u64>,
}

/// Why nothing is known of the results.
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) way_out: &'static str,
}

type Shape = (ElementType, Vec<usize>);

/// Operators whose results have sizes that depend on elements.
const DATA_DEPENDENT: [&str; 4] = ["nonzero", "masked_select", "unique", "bincount"];

/// Parameters that say sizes: numbers that depend on data cannot stand there.
const SIZES: [&str; 17] = [
    "size",
    "shape",
    "start",
    "end",
    "step",
    "repeats",
    "length",
    "split_size",
    "split_sizes",
    "output_size",
    "sizes",
    "n",
    "m",
    "steps",
    "k",
    "num_classes",
    "pad",
];

impl World<'_> {
    /// The results of a call.
    pub(super) fn outcomes(&self, node: &Node) -> Result<Vec<Outcome>, Fault> {
        if node.target == "aten.sym_size.int"
            && let Some(size) = self.size(node)
        {
            return Ok(vec![Outcome::Number(NumberKind::Int, Some(Scalar::Int(size)))]);
        }
        let values = node.arguments.iter().flat_map(|named| named.value.values());
        let values: Vec<&Value> = values.filter_map(|name| self.values.get(name)).collect();
        let is_known = values.iter().all(|value| match value {
            Value::Tensor(tensor) => tensor.known(self.world).is_some(),
            Value::Number(number) => number.worlds.is_some(),
            _ => true,
        });
        if !is_known {
            if let Some(shape) = self.rule(node) {
                let (element_type, dims) = shape;
                return Ok(vec![Outcome::Tensor(Seen { element_type, dims, known: None })]);
            }
            self.check(node)?;
        }
        let signature = super::resolve::signature(&node.target);
        self.afford(node, &Arguments::new(node, signature))?;
        let given = self.given(node)?;
        let results = evaluate::call(node, given).map_err(|error| Fault {
            reason: format!(
                "a call that PyTorch refuses, or the evaluation of this operator: {error}"
            ),
            way_out: "check the shapes and types of the inputs (--shape, --type)",
        })?;
        // A number is known only where it was computed from what is.
        Ok(results.into_iter().map(|result| outcome(result, is_known)).collect())
    }

    /// A size of a tensor, which is known whatever its elements are.
    fn size(&self, node: &Node) -> Option<i64> {
        let [own, axis] = node.arguments.as_slice() else { return None };
        let (_, dims) = self.shape(&own.value)?;
        let Argument::Int(axis) = axis.value else { return None };
        i64::try_from(*dims.get(usize::try_from(axis).ok()?)?).ok()
    }

    /// An error for sizes that depend on data.
    fn check(&self, node: &Node) -> Result<(), Fault> {
        let name = node.target.split('.').nth(1).unwrap_or_default();
        let data = Fault {
            reason: "a size that depends on data".into(),
            way_out: "write it with a mask of fixed size (torch.where), or export the model with \
                      torch.export.save",
        };
        if DATA_DEPENDENT.contains(&name) {
            return Err(data);
        }
        let parameters = super::resolve::parameters(&node.target);
        for (index, named) in node.arguments.iter().enumerate() {
            let parameter = match named.name.as_str() {
                "" => parameters.get(index).copied().unwrap_or_default(),
                name => name,
            };
            let depends = |name: &&str| match self.values.get(*name) {
                Some(Value::Number(number)) => number.worlds.is_none(),
                _ => false,
            };
            if SIZES.contains(&parameter) && named.value.values().iter().any(depends) {
                return Err(data);
            }
        }
        Ok(())
    }

    /// Values for the evaluator: what is known, zeros for the rest.
    fn given(&self, node: &Node) -> Result<Given, Fault> {
        let mut given = Given::new();
        for name in node.arguments.iter().flat_map(|named| named.value.values()) {
            if given.contains_key(name) {
                continue;
            }
            let value = match self.values.get(name) {
                Some(Value::Tensor(tensor)) => evaluate::Value::Tensor(self.tensor(tensor)?),
                Some(Value::Number(number)) => self.number(number),
                _ => continue,
            };
            given.insert(name.to_owned(), value);
        }
        Ok(given)
    }

    fn tensor(&self, tensor: &Tensor) -> Result<Strided, Fault> {
        if let Some(known) = tensor.known(self.world) {
            return Ok(known.clone());
        }
        let fault = |what: &dyn std::fmt::Display| Fault {
            reason: format!("a tensor that cannot be tried: {what}"),
            way_out: "give smaller sizes with --shape",
        };
        let seen = tensor.worlds.get(self.world).ok_or_else(|| fault(&tensor.name))?;
        let (element_type, dims) = (seen.element_type, seen.dims.as_slice());
        let elements = self.elements(dims)?;
        let zeros = Array::from_f64s(element_type, dims, vec![0.0; elements]);
        Ok(Strided::new(zeros.map_err(|error| fault(&error))?))
    }

    pub(super) fn number(&self, number: &Number) -> evaluate::Value {
        let known = number.worlds.as_ref().and_then(|worlds| worlds.get(self.world));
        match (known, number.kind) {
            (Some(Scalar::Int(value)), _) => evaluate::Value::Int(*value),
            (Some(Scalar::Float(value)), _) => evaluate::Value::Float(*value),
            (Some(Scalar::Bool(value)), _) => evaluate::Value::Bool(*value),
            (None, NumberKind::Int) => evaluate::Value::Int(1),
            (None, NumberKind::Float) => evaluate::Value::Float(1.0),
            (None, NumberKind::Bool) => evaluate::Value::Bool(true),
        }
    }

    /// Type and sizes of an argument that is a tensor.
    pub(super) fn shape(&self, argument: &Argument) -> Option<(ElementType, &[usize])> {
        let Argument::Value(name) = argument else { return None };
        match self.values.get(name)? {
            Value::Tensor(tensor) => {
                let seen = tensor.worlds.get(self.world)?;
                Some((seen.element_type, &seen.dims))
            }
            _ => None,
        }
    }

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
    fn rule(&self, node: &Node) -> Option<Shape> {
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
