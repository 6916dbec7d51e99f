//! `SliceChannel`, also called `split`, and `_split_v2`.

use super::super::infer::axis_of;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, shape};

pub(super) const OPERATOR: Operator =
    Operator { names: &["SliceChannel", "split", "_split_v2"], infer, convert, evaluate };

/// Most parts.
const MOST: usize = 4096;

struct Split {
    axis: usize,
    sizes: Vec<usize>,
    /// Whether the axis, then of size 1, goes.
    squeeze: bool,
}

fn split(op: &Op<'_>, dims: &[usize]) -> Result<Split, Problem> {
    let attributes = op.attributes;
    let second = op.operator == "_split_v2";
    let axis = axis_of(attributes.int_or("axis", i64::from(!second))?, dims.len())?;
    let squeeze = attributes.flag_or("squeeze_axis", false)?;
    let size = dims[axis];
    let wrong = || Problem::shape(format!("{size} elements in parts"));
    let sections = attributes.count_or(if second { "sections" } else { "num_outputs" }, 0)?;
    let sizes = if sections > 0 {
        if sections > MOST || !size.is_multiple_of(sections) {
            return Err(wrong());
        }
        vec![size / sections; sections]
    } else {
        let starts = attributes.need_ints("indices")?;
        let places: Option<Vec<usize>> =
            starts.iter().map(|&start| usize::try_from(start).ok()).collect();
        let mut places = places.ok_or_else(wrong)?;
        places.push(size);
        let mut last = places.first().copied().unwrap_or(0);
        let mut sizes = Vec::new();
        if last != 0 {
            return Err(wrong());
        }
        for place in places.into_iter().skip(1) {
            sizes.push(place.checked_sub(last).ok_or_else(wrong)?);
            last = place;
        }
        sizes
    };
    if squeeze && sizes.iter().any(|&size| size != 1) {
        return Err(wrong());
    }
    Ok(Split { axis, sizes, squeeze })
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let split = split(op, &input.dims)?;
    let part = |&size: &usize| {
        let mut dims = input.dims.clone();
        match split.squeeze {
            true => drop(dims.remove(split.axis)),
            false => dims[split.axis] = size,
        }
        if dims.is_empty() {
            dims.push(1);
        }
        Info { dims, kind: input.kind }
    };
    Ok(split.sizes.iter().map(part).collect())
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let default = i64::from(site.op.operator != "_split_v2");
    let axis = axis_of(site.op.attributes.int_or("axis", default)?, rank)?;
    let size = site.size(0, axis)?;
    let mut dims = vec![1; rank];
    dims[axis] = size;
    let split = split(&site.op, &dims)?;
    let x = site.input(0)?;
    if let [_] = split.sizes.as_slice() {
        return Ok(vec![if split.squeeze { site.squeeze(&x, &[axis as i64]) } else { x }]);
    }
    let sizes: Vec<i64> = split.sizes.iter().map(|&size| size as i64).collect();
    let sizes = site.ints("sizes", &sizes);
    let found = node("Split", &[&x, &sizes]).with("axis", axis as i64);
    let mut parts = site.emitter.add_many(found, split.sizes.len());
    if split.squeeze && rank > 1 {
        for part in &mut parts {
            *part = site.squeeze(part, &[axis as i64]);
        }
    }
    Ok(parts)
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let split = split(op, x.dims())?;
    let parts = shape::split(x, split.axis as i64, &split.sizes)?;
    if !split.squeeze || x.rank() == 1 {
        return Ok(parts);
    }
    parts.iter().map(|part| shape::squeeze(part, Some(&[split.axis as i64]))).collect()
}
