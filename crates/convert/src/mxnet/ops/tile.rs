//! `tile`, `repeat` and `reverse`.

use super::super::infer::axis_of;
use super::super::site::{Site, Size};
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, shape};

pub(super) const TILE: Operator = Operator {
    names: &["tile"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let (dims, repeats) = tiled(op, &input.dims)?;
        let dims = dims.iter().zip(&repeats).map(|(dim, times)| dim.saturating_mul(*times));
        let found = Info { dims: dims.collect(), kind: input.kind };
        found.len()?;
        Ok(vec![found])
    },
    convert: convert_tile,
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let (dims, repeats) = tiled(op, x.dims())?;
        Ok(vec![shape::tile(&x.clone().reshaped(&dims)?, &repeats)?])
    },
};

pub(super) const REPEAT: Operator = Operator {
    names: &["repeat"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let (axis, times) = repeated(op, input.rank())?;
        let mut dims = input.dims.clone();
        match axis {
            Some(axis) => dims[axis] = dims[axis].saturating_mul(times),
            None => dims = vec![input.len()?.saturating_mul(times)],
        }
        let found = Info { dims, kind: input.kind };
        found.len()?;
        Ok(vec![found])
    },
    convert: convert_repeat,
    evaluate: evaluate_repeat,
};

pub(super) const REVERSE: Operator = Operator {
    names: &["reverse", "flip"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        op.attributes.need_ints("axis")?.iter().try_for_each(|&axis| input.axis(axis).map(drop))?;
        Ok(vec![input.clone()])
    },
    convert: |site| {
        let axes = site.op.attributes.need_ints("axis")?;
        let x = site.input(0)?;
        let begin = site.ints("begin", &vec![-1; axes.len()]);
        let end = site.ints("end", &vec![-i64::MAX; axes.len()]);
        let step = site.ints("step", &vec![-1; axes.len()]);
        let axes = site.ints("axes", &axes);
        Ok(vec![site.op("Slice", &[&x, &begin, &end, &axes, &step])])
    },
    evaluate: |op, inputs| {
        Ok(vec![shape::flip(at(inputs, 0)?, &op.attributes.need_ints("axis")?)?])
    },
};

/// The shape with axes of 1 in front, and how often each is repeated, with ones in front.
fn tiled(op: &Op<'_>, dims: &[usize]) -> Result<(Vec<usize>, Vec<usize>), Problem> {
    let repeats = op.attributes.need_ints("reps")?;
    let repeats = op.attributes.sizes("reps", repeats.len(), 1)?;
    let rank = dims.len().max(repeats.len());
    let filled = |list: &[usize]| {
        let mut filled = vec![1; rank - list.len()];
        filled.extend(list);
        filled
    };
    Ok((filled(dims), filled(&repeats)))
}

fn convert_tile(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let (dims, repeats) = tiled(&site.op, &vec![1; rank])?;
    let mut x = site.input(0)?;
    if dims.len() > rank {
        let axes: Vec<i64> = (0..(dims.len() - rank) as i64).collect();
        x = site.unsqueeze(&x, &axes);
    }
    let repeats: Vec<i64> = repeats.iter().map(|&times| times as i64).collect();
    let repeats = site.ints("repeats", &repeats);
    Ok(vec![site.op("Tile", &[&x, &repeats])])
}

/// Along which axis; `None`: of all elements in a row.
fn repeated(op: &Op<'_>, rank: usize) -> Result<(Option<usize>, usize), Problem> {
    let times = op.attributes.need_count("repeats")?;
    let axis = op.attributes.int("axis")?.map(|axis| axis_of(axis, rank)).transpose()?;
    Ok((axis, times))
}

/// Each element becomes a row of copies, and the rows are put one behind the other.
fn convert_repeat(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (axis, times) = repeated(&site.op, site.rank()?)?;
    let mut x = site.input(0)?;
    let Some(axis) = axis else {
        x = site.reshape(&x, &[-1, 1]);
        let repeats = site.ints("repeats", &[1, times as i64]);
        x = site.op("Tile", &[&x, &repeats]);
        return Ok(vec![site.reshape(&x, &[-1])]);
    };
    let mut sizes = site.sizes_of(0)?;
    let rank = sizes.len();
    x = site.unsqueeze(&x, &[axis as i64 + 1]);
    let mut repeats = vec![1; rank + 1];
    repeats[axis + 1] = times as i64;
    let repeats = site.ints("repeats", &repeats);
    x = site.op("Tile", &[&x, &repeats]);
    sizes[axis] = match site.output(0)?.dims.get(axis).copied().flatten() {
        Some(size) => Size::Fixed(size as i64),
        None => Size::Fixed(-1),
    };
    let list = site.list(&sizes);
    Ok(vec![site.add(node("Reshape", &[&x, &list]))])
}

fn evaluate_repeat(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let (axis, times) = repeated(op, x.rank())?;
    let (x, axis) = match axis {
        Some(axis) => (x.clone(), axis),
        None => (x.clone().reshaped(&[x.len()])?, 0),
    };
    let indices: Vec<i64> =
        (0..x.dims()[axis] as i64).flat_map(|index| std::iter::repeat_n(index, times)).collect();
    let indices = Array::ints(&[indices.len()], indices)?;
    Ok(vec![crate::reference::index::gather(&x, &indices, axis as i64)?])
}
