//! `expand_dims` and `squeeze`.

use super::super::infer::axis_of;
use super::{Info, Op, Operator, Problem, at, info};
use crate::reference::shape;

pub(super) const EXPAND: Operator = Operator {
    names: &["expand_dims"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let axis = axis_of(op.attributes.need_int("axis")?, input.rank() + 1)?;
        let mut found = input.clone();
        found.dims.insert(axis, 1);
        Ok(vec![found])
    },
    convert: |site| {
        let axis = axis_of(site.op.attributes.need_int("axis")?, site.rank()? + 1)?;
        let x = site.input(0)?;
        Ok(vec![site.unsqueeze(&x, &[axis as i64])])
    },
    evaluate: |op, inputs| {
        Ok(vec![shape::expand_dims(at(inputs, 0)?, &[op.attributes.need_int("axis")?])?])
    },
};

pub(super) const SQUEEZE: Operator = Operator {
    names: &["squeeze", "_np_squeeze"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let gone = gone(op, &input.dims)?;
        let kept = input.dims.iter().enumerate().filter(|(axis, _)| !gone.contains(axis));
        let mut dims: Vec<usize> = kept.map(|(_, &size)| size).collect();
        // No array of MXNet is without dimensions.
        if dims.is_empty() {
            dims.push(1);
        }
        Ok(vec![Info { dims, kind: input.kind }])
    },
    convert: |site| {
        let rank = site.output(0)?.rank();
        let sizes: Vec<usize> = site.known(0)?.dims.iter().map(|size| size.unwrap_or(2)).collect();
        let mut gone: Vec<i64> = gone(&site.op, &sizes)?.iter().map(|&it| it as i64).collect();
        gone.truncate(sizes.len() - rank.min(sizes.len()));
        let x = site.input(0)?;
        Ok(vec![site.squeeze(&x, &gone)])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let gone: Vec<i64> = gone(op, x.dims())?.iter().map(|&axis| axis as i64).collect();
        let found = shape::squeeze(x, Some(&gone))?;
        Ok(vec![if found.rank() == 0 { found.reshaped(&[1])? } else { found }])
    },
};

/// The axes that go: all of size 1 unless said.
fn gone(op: &Op<'_>, dims: &[usize]) -> Result<Vec<usize>, Problem> {
    let gone = match op.attributes.ints("axis")? {
        None => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
        Some(axes) => axes
            .iter()
            .map(|&axis| axis_of(axis, dims.len()))
            .collect::<Result<Vec<usize>, Problem>>()?,
    };
    match gone.iter().find(|&&axis| dims[axis] != 1) {
        Some(axis) => Err(Problem::shape(format!("axis {axis} of {dims:?} is not of size 1"))),
        None => Ok(gone),
    }
}
