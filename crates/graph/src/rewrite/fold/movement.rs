//! Operators that move elements of constants.

use super::super::list::{List, Stated, axis};
use super::super::net::{Net, Op};
use super::super::perm::Perm;
use super::super::tensor::{Axis, joined, picked, reshaped, strides, transposed};
use super::numbers::Numbers;
use crate::{Constant, ConstantData, ElementType};

/// What a node makes of constants; `dims` are those of its output, if they are known.
pub(super) fn fold(
    net: &Net,
    op: &Op,
    inputs: &[Option<&Constant>],
    dims: Option<&[usize]>,
) -> Option<Constant> {
    let first = inputs.first().copied().flatten()?;
    match op.standard()? {
        "Identity" => Some(first.clone()),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let dims = dims?;
            let same = first.elements()? == dims.iter().product::<usize>();
            (same && first.external().is_none()).then(|| reshaped(first, dims))
        }
        "Transpose" => transposed(first, &order(op, first.dims.len())?),
        "Concat" => {
            let parts: Vec<&Constant> = inputs.iter().copied().collect::<Option<_>>()?;
            joined(&parts, axis(op.node.int("axis")?, first.dims.len())?)
        }
        "Slice" => slice(net, op, first),
        "Gather" => gather(op, first, inputs.get(1).copied().flatten()?),
        "Expand" => stretched(first, dims?),
        "Tile" => tile(first, dims?),
        "ConstantOfShape" => filled(op, dims?),
        "Range" => range(inputs, dims?),
        _ => None,
    }
}

pub(in super::super) fn order(op: &Op, rank: usize) -> Option<Perm> {
    match op.node.ints("perm") {
        Some(order) => Perm::of_ints(order).filter(|order| order.rank() == rank),
        None => Perm::new((0..rank).rev().collect()),
    }
}

/// Every axis as it is.
fn whole(dims: &[usize]) -> Vec<Axis> {
    let strides = strides(dims);
    dims.iter().zip(strides).map(|(&length, stride)| Axis::Even { length, stride }).collect()
}

fn slice(net: &Net, op: &Op, data: &Constant) -> Option<Constant> {
    let starts = List::new("starts", 1).of(net, op).known()?;
    let ends = List::new("ends", 2).of(net, op).known()?;
    let axes = match List::new("axes", 3).of(net, op) {
        Stated::Known(axes) => axes,
        Stated::Absent => (0..starts.len() as i64).collect(),
        Stated::Computed => return None,
    };
    let steps = match List::new("steps", 4).of(net, op) {
        Stated::Known(steps) => steps,
        Stated::Absent => vec![1; starts.len()],
        Stated::Computed => return None,
    };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return None;
    }
    let mut dims = data.dims.clone();
    let mut picked_axes = whole(&dims);
    let strides = strides(&data.dims);
    for (index, &stated) in axes.iter().enumerate() {
        let axis = axis(stated, dims.len())?;
        let positions = positions(data.dims[axis], starts[index], ends[index], steps[index])?;
        dims[axis] = positions.len();
        let offsets = positions.into_iter().map(|position| position * strides[axis]);
        picked_axes[axis] = Axis::At(offsets.collect());
    }
    picked(data, &dims, &picked_axes)
}

/// The positions that a slice takes along an axis of this length.
fn positions(length: usize, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    let size = i64::try_from(length).ok()?;
    let from_front =
        |position: i64| if position < 0 { position.saturating_add(size) } else { position };
    let (start, end) = (from_front(start), from_front(end));
    let mut positions = Vec::new();
    if step > 0 {
        let (mut at, end) = (start.clamp(0, size), end.clamp(0, size));
        while at < end {
            positions.push(at as usize);
            at = at.saturating_add(step);
        }
    } else if step < 0 {
        let (mut at, end) = (start.clamp(-1, size - 1), end.clamp(-1, size - 1));
        while at > end {
            positions.push(at as usize);
            at = at.saturating_add(step);
        }
    } else {
        return None;
    }
    Some(positions)
}

fn gather(op: &Op, data: &Constant, indices: &Constant) -> Option<Constant> {
    let axis = axis(op.node.int("axis").unwrap_or(0), data.dims.len())?;
    let length = i64::try_from(data.dims[axis]).ok()?;
    let stride = strides(&data.dims)[axis];
    let Numbers::Ints(indices_list) = Numbers::decode(indices)? else { return None };
    let offsets = indices_list.into_iter().map(|index| {
        let index = if index < 0 { index.checked_add(length)? } else { index };
        (0..length).contains(&index).then(|| index as usize * stride)
    });
    let offsets: Vec<usize> = offsets.collect::<Option<_>>()?;
    let mut axes = whole(&data.dims);
    axes[axis] = Axis::At(offsets);
    let dims = [&data.dims[..axis], &indices.dims, &data.dims[axis + 1..]].concat();
    picked(data, &dims, &axes)
}

/// Axes of one element repeated to the size that `dims` has.
pub(super) fn stretched(data: &Constant, dims: &[usize]) -> Option<Constant> {
    let missing = dims.len().checked_sub(data.dims.len())?;
    let strides = strides(&data.dims);
    let axes = dims.iter().enumerate().map(|(index, &length)| {
        match index.checked_sub(missing).map(|axis| (data.dims[axis], strides[axis])) {
            Some((size, stride)) if size == length => Some(Axis::Even { length, stride }),
            Some((1, _)) | None => Some(Axis::Even { length, stride: 0 }),
            Some(_) => None,
        }
    });
    picked(data, dims, &axes.collect::<Option<Vec<_>>>()?)
}

fn tile(data: &Constant, dims: &[usize]) -> Option<Constant> {
    if dims.len() != data.dims.len() {
        return None;
    }
    let strides = strides(&data.dims);
    let axes = dims.iter().zip(&data.dims).zip(strides).map(|((&length, &size), stride)| {
        let is_whole = size != 0 && length % size == 0;
        is_whole.then(|| Axis::At((0..length).map(|index| index % size * stride).collect()))
    });
    picked(data, dims, &axes.collect::<Option<Vec<_>>>()?)
}

fn filled(op: &Op, dims: &[usize]) -> Option<Constant> {
    let zero = Constant::floats("", &[1], &[0.0]);
    let value = op.node.tensor("value").unwrap_or(&zero);
    let data = ConstantData::Raw(value.bytes()?);
    let scalar = Constant { dims: Vec::new(), data, ..value.clone() };
    stretched(&scalar, dims)
}

fn range(inputs: &[Option<&Constant>], dims: &[usize]) -> Option<Constant> {
    let &[Some(start), _, Some(step)] = inputs else { return None };
    let count = *dims.first()?;
    if start.element_type == ElementType::Float32 {
        return None;
    }
    let (Numbers::Ints(first), Numbers::Ints(step)) =
        (Numbers::decode(start)?, Numbers::decode(step)?)
    else {
        return None;
    };
    let (first, step) = (*first.first()?, *step.first()?);
    let values = (0..count as i64).map(|index| first.checked_add(step.checked_mul(index)?));
    Numbers::Ints(values.collect::<Option<_>>()?).encode(start.element_type, dims)
}
