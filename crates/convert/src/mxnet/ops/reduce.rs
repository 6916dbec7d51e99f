//! Reductions: `sum`, `mean`, `max` and their kin, `norm`, `argmax`.

use modelyard_graph::ElementType;

use super::super::infer::axis_of;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::reduce::{self, Over, Tie};
use crate::reference::{Array, elementwise};

pub(super) const OPERATOR: Operator = Operator {
    names: &[
        "sum", "sum_axis", "mean", "max", "max_axis", "min", "min_axis", "prod", "nansum",
        "nanprod", "norm", "_np_sum", "_np_max",
    ],
    infer,
    convert,
    evaluate,
};

pub(super) const ARG: Operator = Operator {
    names: &["argmax", "argmin", "argmax_channel"],
    infer: infer_arg,
    convert: convert_arg,
    evaluate: evaluate_arg,
};

/// The axes, and whether they stay as 1.
fn over(op: &Op<'_>, rank: usize) -> Result<(Vec<usize>, bool), Problem> {
    let attributes = op.attributes;
    let mut axes = attributes
        .ints("axis")?
        .unwrap_or_default()
        .iter()
        .map(|&axis| axis_of(axis, rank))
        .collect::<Result<Vec<usize>, Problem>>()?;
    axes.sort_unstable();
    axes.dedup();
    let all = axes.is_empty();
    if attributes.flag_or("exclude", false)? {
        axes = (0..rank).filter(|axis| all || !axes.contains(axis)).collect();
    } else if all {
        axes = (0..rank).collect();
    }
    Ok((axes, attributes.flag_or("keepdims", false)?))
}

/// The shape without the axes. No array of MXNet is without dimensions.
fn reduced(dims: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let kept = dims.iter().enumerate().filter_map(|(axis, &size)| match axes.contains(&axis) {
        true => keep.then_some(1),
        false => Some(size),
    });
    let found: Vec<usize> = kept.collect();
    if found.is_empty() { vec![1] } else { found }
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let (axes, keep) = over(op, input.rank())?;
    if op.operator == "norm" && !matches!(op.attributes.int_or("ord", 2)?, 1 | 2) {
        return Err(Problem::refused("an order other than 1 and 2", "compute it otherwise"));
    }
    Ok(vec![Info { dims: reduced(&input.dims, &axes, keep), kind: input.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let (axes, keep) = over(&site.op, rank)?;
    let mut x = site.input(0)?;
    let name = match site.op.operator {
        "mean" => "ReduceMean",
        "max" | "max_axis" | "_np_max" => "ReduceMax",
        "min" | "min_axis" => "ReduceMin",
        "prod" | "nanprod" => "ReduceProd",
        "norm" if site.op.attributes.int_or("ord", 2)? == 1 => "ReduceL1",
        "norm" => "ReduceL2",
        _ => "ReduceSum",
    };
    if site.op.operator.starts_with("nan") {
        let kind = site.kind()?;
        let neutral = site.number("neutral", kind, f64::from(name == "ReduceProd"));
        let missing = site.op("IsNaN", &[&x]);
        x = site.op("Where", &[&missing, &neutral, &x]);
    }
    let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let list = site.ints("axes", &list);
    let found = site.add(node(name, &[&x, &list]).with("keepdims", i64::from(keep)));
    let scalar = !keep && axes.len() == rank;
    Ok(vec![if scalar { site.unsqueeze(&found, &[0]) } else { found }])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let (axes, keep) = over(op, x.rank())?;
    let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let over = Over::kept(&list);
    let without = |neutral: f64| {
        elementwise::map(x, move |value| if value.is_nan() { neutral } else { value })
    };
    let found = match op.operator {
        "mean" => reduce::mean(x, over)?,
        "max" | "max_axis" | "_np_max" => reduce::max(x, over)?,
        "min" | "min_axis" => reduce::min(x, over)?,
        "prod" => reduce::prod(x, over)?,
        "nansum" => reduce::sum(&without(0.0)?, over)?,
        "nanprod" => reduce::prod(&without(1.0)?, over)?,
        "norm" if op.attributes.int_or("ord", 2)? == 1 => reduce::norm_l1(x, over)?,
        "norm" => reduce::norm_l2(x, over)?,
        _ => reduce::sum(x, over)?,
    };
    Ok(vec![found.reshaped(&reduced(x.dims(), &axes, keep))?])
}

/// Along which axis; `None`: among all elements. `argmax_channel` is along the second.
fn arg_axis(op: &Op<'_>, rank: usize) -> Result<Option<usize>, Problem> {
    match op.operator {
        "argmax_channel" => axis_of(1, rank).map(Some),
        _ => op.attributes.int("axis")?.map(|axis| axis_of(axis, rank)).transpose(),
    }
}

/// Places are floats.
fn infer_arg(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let axes = match arg_axis(op, input.rank())? {
        Some(axis) => vec![axis],
        None => (0..input.rank()).collect(),
    };
    let keep = op.attributes.flag_or("keepdims", false)?;
    let dims = reduced(&input.dims, &axes, keep);
    Ok(vec![Info { dims, kind: ElementType::Float32 }])
}

fn convert_arg(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let axis = arg_axis(&site.op, rank)?;
    let keep = site.op.attributes.flag_or("keepdims", false)?;
    let mut x = site.input(0)?;
    let name = if site.op.operator == "argmin" { "ArgMin" } else { "ArgMax" };
    let (along, stays) = match axis {
        Some(axis) => (axis as i64, keep || rank == 1),
        None => {
            x = site.reshape(&x, &[-1]);
            (0, true)
        }
    };
    let found = node(name, &[&x]).with("axis", along).with("keepdims", i64::from(stays));
    let mut found = site.add(found);
    if axis.is_none() && keep {
        found = site.reshape(&found, &vec![1; rank]);
    }
    Ok(vec![site.cast(&found, ElementType::Float32)])
}

fn evaluate_arg(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let keep = op.attributes.flag_or("keepdims", false)?;
    let axis = arg_axis(op, x.rank())?;
    let (axes, x, along) = match axis {
        Some(axis) => (vec![axis], x.clone(), axis as i64),
        None => ((0..x.rank()).collect(), x.clone().reshaped(&[x.len()])?, 0),
    };
    let found = match op.operator {
        "argmin" => reduce::arg_min(&x, along, true, Tie::First)?,
        _ => reduce::arg_max(&x, along, true, Tie::First)?,
    };
    let dims = reduced(at(inputs, 0)?.dims(), &axes, keep);
    Ok(vec![elementwise::cast(&found, ElementType::Float32)?.reshaped(&dims)?])
}
