//! The same elements in another shape or order, and shapes as values.

use modelyard_graph::{ElementType, Node};
use modelyard_tensor::Dim;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::{Cut, Size};
use crate::export::saved_model::value::{Refusal, Tensor, Value, counted};
use crate::export::saved_model::writer::Writer;

/// The order that swaps an axis with the last.
pub(super) fn swapped(rank: usize, axis: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(axis, rank.saturating_sub(1));
    order
}

/// The sizes of a shape of which one at most is open, which is -1. `None` where more are, or where
/// -1 would stand for any number because another size is 0.
pub(super) fn nearly_fixed(dims: &[Dim]) -> Option<Vec<i64>> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(-1),
        Dim::Symbol(_) | Dim::Free => -1,
    };
    let sizes: Vec<i64> = dims.iter().map(size).collect();
    let open = sizes.iter().filter(|&&size| size == -1).count();
    let is_known = open == 0 || (open == 1 && !sizes.contains(&0));
    is_known.then_some(sizes)
}

pub(super) fn reshape(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    if let Some(sizes) = call.output_dims().and_then(nearly_fixed) {
        return Ok(vec![writer.reshape(&x, &sizes)?]);
    }
    let (from, to) = (call.value(0)?, call.value(1)?);
    let keeps_zeros = call.flag("allowzero");
    if let Some(wanted) = to.integers() {
        let mut sizes = Vec::with_capacity(wanted.len());
        for (axis, &size) in wanted.iter().enumerate() {
            sizes.push(match size {
                0 if !keeps_zeros => writer.size(from, axis)?,
                size => Size::Fixed(size),
            });
        }
        return Ok(vec![writer.reshape_sizes(&x, &sizes)?]);
    }
    let mut shape = call.tensor(writer, 1)?;
    if !keeps_zeros && may_copy(call, to) {
        shape = copied_sizes(writer, (from, &x), (to, &shape))?;
    }
    Ok(vec![writer.reshape_to(&x, &shape)])
}

/// Whether a computed shape may have zeros, which stand for the size of the same axis before.
fn may_copy(call: &Call<'_>, shape: &Value) -> bool {
    let is_sizes = |name: &String| match call.constants.get(name.as_str()) {
        Some(constant) => constant.integers(64).is_some_and(|sizes| !sizes.contains(&0)),
        None => call.makers.get(name.as_str()).is_some_and(|node| is_of_shape(call, node, 8)),
    };
    match call.makers.get(shape.name.as_str()) {
        Some(node) if node.is("Concat") => !node.inputs.iter().all(is_sizes),
        Some(node) => !is_of_shape(call, node, 8),
        None => true,
    }
}

/// Whether a node gives sizes of some value.
fn is_of_shape(call: &Call<'_>, node: &Node, depth: usize) -> bool {
    const MOVES: [&str; 9] =
        ["Gather", "Slice", "Unsqueeze", "Squeeze", "Reshape", "Cast", "Identity", "Mul", "Concat"];
    let made = |name: &String| match call.constants.get(name.as_str()) {
        Some(constant) => constant.integers(64).is_some_and(|sizes| !sizes.contains(&0)),
        None => call
            .makers
            .get(name.as_str())
            .is_some_and(|node| depth > 0 && is_of_shape(call, node, depth - 1)),
    };
    match node.op_type.as_str() {
        "Shape" | "Size" => true,
        "Mul" | "Concat" => node.inputs.iter().all(made),
        op if MOVES.contains(&op) => node.inputs.first().is_some_and(made),
        _ => false,
    }
}

/// A computed shape with the sizes of `x` where it is 0.
fn copied_sizes(
    writer: &mut Writer,
    (from, x): (&Value, &Tensor),
    (to, shape): (&Value, &Tensor),
) -> Result<Tensor, Refusal> {
    let count = to.known_size(0, "a list of sizes")?;
    let rank = from.rank()?;
    let before = writer.shape(x);
    let before = match count.cmp(&rank) {
        std::cmp::Ordering::Less => writer.part(&before, 0, count as i64)?,
        std::cmp::Ordering::Equal => before,
        std::cmp::Ordering::Greater => writer.pad(&before, &[(0, (count - rank) as i64)], 0.0)?,
    };
    let zero = writer.number("zero", 0.0, ElementType::Int64)?;
    let is_zero = writer.compare("Equal", shape, &zero);
    Ok(writer.select(&is_zero, &before, shape))
}

pub(super) fn flatten(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    if let Some(sizes) = call.output_dims().and_then(nearly_fixed) {
        return Ok(vec![writer.reshape(&x, &sizes)?]);
    }
    let value = call.value(0)?;
    let rank = value.rank()?;
    let axis = call.int("axis", 1);
    let axis = if axis == rank as i64 { rank } else { value.axis(axis)? };
    let rows = product(writer, value, 0..axis)?;
    // What is left is -1 where there are rows; an empty batch keeps its columns.
    let columns = product(writer, value, axis..rank)?;
    Ok(vec![match (&rows, &columns) {
        (_, Size::Fixed(1..)) => writer.reshape_sizes(&x, &[Size::Fixed(-1), columns])?,
        _ => writer.reshape_sizes(&x, &[rows, columns])?,
    }])
}

/// The product of some sizes of a value.
pub(super) fn product(
    writer: &mut Writer,
    value: &Value,
    axes: std::ops::Range<usize>,
) -> Result<Size, Refusal> {
    let sizes: Option<Vec<usize>> = axes.clone().map(|axis| value.size(axis)).collect();
    if let Some(sizes) = sizes {
        let product = sizes.iter().try_fold(1i64, |all, &size| all.checked_mul(size as i64));
        let product = product.ok_or_else(|| Refusal::new("a shape that is too large", ""))?;
        return Ok(Size::Fixed(product));
    }
    let x = writer.tensor(value)?;
    let shape = writer.shape(&x);
    let part = writer.part(&shape, axes.start as i64, axes.end as i64)?;
    Ok(Size::Computed(writer.reduce("Prod", &part, (&[0], true))?))
}

pub(super) fn squeeze(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let axes = match call.axes(1)? {
        Some(axes) => axes,
        None => {
            let dims = call.value(0)?.known_dims()?;
            if dims.iter().any(|dim| !matches!(dim, Dim::Fixed(_))) {
                let reason = "all axes of one element, where sizes are open";
                return Err(Refusal::new(reason, "name the axes"));
            }
            (0..dims.len()).filter(|&axis| dims[axis] == Dim::Fixed(1)).collect()
        }
    };
    // No axes would be all axes for TensorFlow.
    Ok(vec![if axes.is_empty() { x } else { writer.squeeze(&x, &axes) }])
}

pub(super) fn unsqueeze(writer: &mut Writer, call: &Call<'_>) -> Written {
    let mut x = call.tensor(writer, 0)?;
    let list = call.list(1, "axes")?.unwrap_or_default();
    let rank = call.value(0)?.rank()? + list.len();
    let axes: Option<Vec<usize>> = list.iter().map(|&axis| counted(axis, rank)).collect();
    let mut axes = axes.ok_or_else(|| Refusal::new(format!("axes {list:?} of {rank}"), ""))?;
    axes.sort_unstable();
    match (axes.as_slice(), call.output_dims().and_then(nearly_fixed)) {
        ([_, _, ..], Some(sizes)) => Ok(vec![writer.reshape(&x, &sizes)?]),
        _ => {
            for axis in axes {
                x = writer.expand_dims(&x, axis)?;
            }
            Ok(vec![x])
        }
    }
}

pub(super) fn transpose(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let rank = call.value(0)?.rank()?;
    let order: Option<Vec<usize>> = match call.node.ints("perm") {
        Some(order) => order.iter().map(|&axis| counted(axis, rank)).collect(),
        None => Some((0..rank).rev().collect()),
    };
    let order = order.filter(|order| order.len() == rank);
    let order = order.ok_or_else(|| Refusal::new("an order of other axes", "it is damaged"))?;
    Ok(vec![writer.transpose(&x, &order)?])
}

pub(super) fn shape(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let shape = writer.shape(&x);
    let (start, end) = (call.int("start", 0), call.node.int("end"));
    if start == 0 && end.is_none() {
        return Ok(vec![shape]);
    }
    let (begin, end) = (Some(Size::Fixed(start)), end.map(Size::Fixed));
    Ok(vec![writer.cut(&shape, &[Cut { axis: 0, begin, end, step: 1 }])?])
}

pub(super) fn size(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let op = Op::new("Size").input(&x).kind("T", x.element_type);
    Ok(vec![writer.add(op.kind("out_type", ElementType::Int64), ElementType::Int64)])
}

/// Blocks of images into channels and back. Channels are last here.
pub(super) fn blocks(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let op = Op::new(&call.node.op_type).input(&x).kind("T", x.element_type);
    let op = op.int("block_size", call.int("blocksize", 1)).text("data_format", "NHWC");
    Ok(vec![writer.add(op, x.element_type)])
}
