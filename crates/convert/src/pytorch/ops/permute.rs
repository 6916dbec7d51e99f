//! Axes in another order.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::pytorch::convert::{Call, Refusal, counted};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::reference::layout;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.permute.default", "self dims", convert, evaluate),
    operator("aten.transpose.int", "self dim0 dim1", convert, evaluate),
    operator("aten.swapaxes.default", "self axis0 axis1", convert, evaluate),
    operator("aten.swapdims.default", "self dim0 dim1", convert, evaluate),
    operator("aten.t.default", "self", convert, evaluate),
    operator("aten.numpy_T.default", "self", convert, evaluate),
    operator("aten.mT.default", "self", convert, evaluate),
    operator("aten.mH.default", "self", convert, evaluate),
    operator("aten.adjoint.default", "self", convert, evaluate),
    operator("aten.movedim.int", "self source destination", convert, evaluate),
    operator("aten.movedim.intlist", "self source destination", convert, evaluate),
    operator("aten.moveaxis.int", "self source destination", convert, evaluate),
    operator("aten.moveaxis.intlist", "self source destination", convert, evaluate),
];

/// Which arguments an operator has, and of what they are.
fn arguments(operator: &str) -> &'static [&'static str] {
    match operator {
        "permute" => &["dims"],
        "transpose" | "swapdims" => &["dim0", "dim1"],
        "swapaxes" => &["axis0", "axis1"],
        "movedim" | "moveaxis" => &["source", "destination"],
        _ => &[],
    }
}

/// The order of the old axes; `None` where the arguments make no sense.
fn order(operator: &str, arguments: &[Vec<i64>], rank: usize) -> Option<Vec<usize>> {
    let identity: Vec<usize> = (0..rank).collect();
    let axes = |list: &Vec<i64>| -> Option<Vec<usize>> {
        list.iter().map(|&axis| counted(axis, rank)).collect()
    };
    let swapped = |one: usize, two: usize| {
        let mut order = identity.clone();
        if one < rank && two < rank {
            order.swap(one, two);
        }
        order
    };
    match (operator, arguments) {
        ("permute", [dims]) => {
            let order = axes(dims)?;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            (sorted == identity).then_some(order)
        }
        ("movedim" | "moveaxis", [from, to]) => {
            let (from, to) = (axes(from)?, axes(to)?);
            let mut order = vec![None; rank];
            for (&from, &to) in from.iter().zip(&to) {
                *order.get_mut(to)? = Some(from);
            }
            let mut rest = identity.iter().filter(|axis| !from.contains(axis));
            order.into_iter().map(|axis| axis.or_else(|| rest.next().copied())).collect()
        }
        ("numpy_T", _) => Some(identity.into_iter().rev().collect()),
        (_, [one, two]) => {
            Some(swapped(axes(one)?.first().copied()?, axes(two)?.first().copied()?))
        }
        _ if rank < 2 => Some(identity),
        _ => Some(swapped(rank - 1, rank - 2)),
    }
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let mut lists = Vec::new();
    for name in arguments(call.operator()) {
        lists.push(call.ints(name)?);
    }
    let order = order(call.operator(), &lists, own.rank())
        .ok_or_else(|| Refusal::new(format!("an order of axes as {lists:?}"), ""))?;
    let result = call.to.transpose(&own.name, &order);
    call.give(0, result);
    Ok(())
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let mut lists = Vec::new();
    for name in arguments(eval.operator()) {
        lists.push(eval.ints(name)?);
    }
    let order = order(eval.operator(), &lists, own.dims().len())
        .ok_or_else(|| EvaluateError::new(format!("axes cannot be ordered by {lists:?}")))?;
    let dims: Vec<usize> = order.iter().map(|&axis| own.dims()[axis]).collect();
    let strides = order.iter().map(|&axis| own.strides()[axis]).collect();
    layout::elements(&dims)?;
    Ok(vec![Value::Tensor(own.seen(dims, strides, own.offset()))])
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn orders_are_those_of_the_operators() {
        let check = |operator: &str, lists: &[Vec<i64>], expected: Option<&[usize]>| {
            assert_eq!(order(operator, lists, 3).as_deref(), expected, "{operator}");
        };
        check("permute", &[vec![2, 0, -2]], Some(&[2, 0, 1]));
        check("permute", &[vec![2, 0, 0]], None);
        check("transpose", &[vec![0], vec![-1]], Some(&[2, 1, 0]));
        check("movedim", &[vec![0], vec![2]], Some(&[1, 2, 0]));
        check("mT", &[], Some(&[0, 2, 1]));
        check("numpy_T", &[], Some(&[2, 1, 0]));
    }
}
