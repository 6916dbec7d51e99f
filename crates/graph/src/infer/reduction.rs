//! Reductions: one FLOP for each element of the input.

use super::fact::{Answer, Fact, Op, Rule, axes};
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
        | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => reduce,
        "ArgMax" | "ArgMin" => arg,
        _ => return None,
    })
}

fn reduce(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let rank = input.dims.len();
    let list = match op.list("axes", 1)? {
        Some(list) if !list.is_empty() => axes(&list, rank)?,
        _ if op.int("noop_with_empty_axes", 0) != 0 => return Some(Answer::one(input.clone())),
        _ => (0..rank).collect(),
    };
    let values = match (op.node.op_type.as_str(), &input.values) {
        ("ReduceProd", Some(values)) if rank == 1 => Some(vec![values.iter().product()]),
        ("ReduceSum", Some(values)) if rank == 1 => Some(vec![values.iter().sum()]),
        ("ReduceMax", Some(values)) if rank == 1 => {
            values.iter().copied().reduce(f64::max).map(|max| vec![max])
        }
        _ => None,
    };
    let dims = without(&input.dims, &list, op.int("keepdims", 1) != 0);
    Some(Answer::one(input.with_dims(&dims).with_values(values)).flops(input.elements()))
}

fn arg(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let axis = op.axis("axis", 0, input.dims.len())?;
    let dims = without(&input.dims, &[axis], op.int("keepdims", 1) != 0);
    Some(Answer::one(Fact::new(ElementType::Int64, &dims)).flops(input.elements()))
}

/// `dims` with `axes` gone, or 1 when they are kept.
fn without(dims: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let kept = dims.iter().enumerate().filter_map(|(axis, &dim)| match axes.contains(&axis) {
        false => Some(dim),
        true => keep.then_some(1),
    });
    kept.collect()
}
