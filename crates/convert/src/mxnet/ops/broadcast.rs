//! `broadcast_axis`, `broadcast_to` and `broadcast_like`: sizes of 1 stretched.

use super::super::infer::axis_of;
use super::super::site::{Site, Size};
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::reference::{Array, shape};

pub(super) const OPERATOR: Operator = Operator {
    names: &["broadcast_axis", "broadcast_axes", "broadcast_to", "broadcast_like"],
    infer,
    convert,
    evaluate,
};

/// Where the size of an axis comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Input,
    Size(usize),
    /// That of an axis of the second input.
    Other(usize),
}

fn sources(op: &Op<'_>, rank: usize, other: usize) -> Result<Vec<From>, Problem> {
    let mut found = vec![From::Input; rank];
    match op.operator {
        "broadcast_to" => {
            let sizes = op.attributes.sizes("shape", rank, 0)?;
            for (from, size) in found.iter_mut().zip(sizes) {
                *from = if size == 0 { From::Input } else { From::Size(size) };
            }
        }
        "broadcast_like" => {
            let axes = |key| Ok(op.attributes.ints(key)?.unwrap_or_default());
            let (left, right) = (axes("lhs_axes")?, axes("rhs_axes")?);
            if left.len() != right.len() || (left.is_empty() && rank != other) {
                return Err(Problem::shape(format!("ranks {rank} and {other}")));
            }
            if left.is_empty() {
                found = (0..rank).map(From::Other).collect();
            }
            for (one, two) in left.iter().zip(&right) {
                found[axis_of(*one, rank)?] = From::Other(axis_of(*two, other)?);
            }
        }
        _ => {
            let axes = op.attributes.need_ints("axis")?;
            let sizes = op.attributes.sizes("size", axes.len(), 1)?;
            for (axis, size) in axes.iter().zip(sizes) {
                found[axis_of(*axis, rank)?] = From::Size(size);
            }
        }
    }
    Ok(found)
}

fn sizes(op: &Op<'_>, dims: &[usize], other: &[usize]) -> Result<Vec<usize>, Problem> {
    let sources = sources(op, dims.len(), other.len())?;
    let size = |(&size, from): (&usize, &From)| {
        let wanted = match from {
            From::Input => size,
            From::Size(size) => *size,
            From::Other(axis) => other.get(*axis).copied().unwrap_or(1),
        };
        match size == wanted || size == 1 {
            true => Ok(wanted),
            false => Err(Problem::shape(format!("a size of {size} as {wanted}"))),
        }
    };
    dims.iter().zip(&sources).map(size).collect()
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let other = inputs.get(1).map_or(&[][..], |other| &other.dims);
    let found = Info { dims: sizes(op, &input.dims, other)?, kind: input.kind };
    found.len()?;
    Ok(vec![found])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let other = site.inputs.get(1).map_or(0, |other| other.known.rank());
    let sources = sources(&site.op, site.rank()?, other)?;
    let own = site.sizes_of(0)?;
    let others = if other > 0 { site.sizes_of(1)? } else { Vec::new() };
    let size = |(own, from): (&Size, &From)| match from {
        From::Input => own.clone(),
        From::Size(size) => Size::Fixed(*size as i64),
        From::Other(axis) => others.get(*axis).cloned().unwrap_or(Size::Fixed(1)),
    };
    let list: Vec<Size> = own.iter().zip(&sources).map(size).collect();
    let (x, list) = (site.input(0)?, site.list(&list));
    Ok(vec![site.op("Expand", &[&x, &list])])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let other = inputs.get(1).map_or(&[][..], |other| other.dims());
    Ok(vec![shape::broadcast_to(x, &sizes(op, x.dims(), other)?)?])
}
