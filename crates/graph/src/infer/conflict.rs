//! Shapes that cannot go together, whatever the model is given.
//!
//! Only what is certain: a conflict between shapes that follow from the model's inputs and
//! constants alone, outside of branches, and that is the same whichever sizes stand for free
//! dimensions.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_tensor::Dim;

use super::fact::Op;
use super::{Sizes, Walk};
use crate::{Model, Problem, Value};

/// Sizes for free dimensions; a shape that is the same for all of these does not hang on them.
const TRIED: [usize; 3] = [1, 12, 35];

/// By place, what does not go together there.
pub(super) type Conflicts = BTreeSet<(String, String)>;

/// The nodes of a verified model whose inputs can never go together.
pub(crate) fn conflicts(model: &Model) -> Vec<Problem> {
    let mut common = found(model, TRIED[0]);
    for size in &TRIED[1..] {
        if common.is_empty() {
            return Vec::new();
        }
        let others = found(model, *size);
        common.retain(|conflict| others.contains(conflict));
    }
    common.into_iter().map(|(place, message)| Problem::new(place, message)).collect()
}

fn found(model: &Model, free: usize) -> Conflicts {
    let inputs = model.graph.inputs.iter();
    let inputs = inputs.filter_map(|input| Some((input.name.clone(), dims(input, free)?)));
    let sizes = Sizes { symbols: BTreeMap::new(), inputs: inputs.collect() };
    let mut walk = Walk::new(model, &sizes);
    let inputs = model.graph.inputs.iter().map(|input| walk.input(input)).collect();
    walk.graph(&model.graph, inputs);
    walk.conflicts
}

fn dims(input: &Value, free: usize) -> Option<Vec<usize>> {
    let (_, dims) = input.value_type.as_tensor()?;
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => *size,
        _ => free,
    };
    Some(dims?.iter().map(size).collect())
}

/// What does not go together at a node of whose inputs all is certain.
pub(super) fn at(op: &Op<'_>, operator: &str) -> Option<String> {
    let (left, right) = (op.dims(0)?, op.dims(1)?);
    match operator {
        "MatMul" => {
            let rows = if right.len() < 2 { right.first() } else { right.get(right.len() - 2) };
            product(op, *left.last()?, *rows?)
        }
        "Gemm" => {
            let (&[rows, columns], &[rows_right, columns_right]) = (left, right) else {
                return None;
            };
            let inner = if op.int("transA", 0) != 0 { rows } else { columns };
            let swapped = op.int("transB", 0) != 0;
            product(op, inner, if swapped { columns_right } else { rows_right })
        }
        // Older ones broadcast along an axis of their own.
        "Add" | "Sub" | "Mul" | "Div" if op.opset >= 7 => {
            let mut pairs = left.iter().rev().zip(right.iter().rev());
            let (left, right) =
                pairs.find(|(left, right)| left != right && **left > 1 && **right > 1)?;
            let names = names(op)?;
            Some(format!("expected sizes of {names} that broadcast, found {left} and {right}"))
        }
        _ => None,
    }
}

fn product(op: &Op<'_>, columns: usize, rows: usize) -> Option<String> {
    let names = names(op)?;
    (columns != rows).then(|| {
        format!(
            "expected as many columns as rows in the product of {names}, found {columns} and {rows}"
        )
    })
}

fn names(op: &Op<'_>) -> Option<String> {
    Some(format!("'{}' and '{}'", op.node.input(0)?, op.node.input(1)?))
}
