//! Operators that work along an axis, or leave some axes where they are.

use super::super::super::list::{List, Stated, axes, axis, set_attribute};
use super::super::super::net::{Net, NodeId, Op};
use super::super::super::perm::Perm;
use super::moved::{Moved, Operand};
use super::{Build, Frame};

pub(super) fn build(operator: &str) -> Option<Build> {
    Some(match operator {
        "Softmax" | "LogSoftmax" | "Hardmax" => softmax,
        "Concat" => concat,
        "Split" => |net, op| along(Moved::first(net, op)?, op, 0),
        "TopK" | "LpNormalization" => |net, op| along(Moved::first(net, op)?, op, -1),
        "GatherElements" => |net, op| along(Moved::first(net, op)?.with(1), op, 0),
        "ScatterElements" => |net, op| along(Moved::first(net, op)?.with(1).with(2), op, 0),
        "CumSum" => cumulative,
        "QuantizeLinear" | "DequantizeLinear" => quantization,
        "BatchNormalization" => batch_normalization,
        "LRN" => |net, op| Moved::first(net, op)?.keeping([1]).boxed(),
        "InstanceNormalization"
        | "GroupNormalization"
        | "GlobalAveragePool"
        | "GlobalMaxPool"
        | "GlobalLpPool" => |net, op| Moved::first(net, op)?.keeping([0, 1]).boxed(),
        "LayerNormalization" => layer_normalization,
        "MeanVarianceNormalization" => mean_variance,
        "MatMul" => matmul,
        "Trilu" => |net, op| {
            let moved = Moved::first(net, op)?;
            let rank = moved.rank();
            moved.keeping(rank.checked_sub(2)?..rank).boxed()
        },
        _ => return None,
    })
}

/// The place of the axis that was `axis`.
fn set_axis(net: &mut Net, node: NodeId, name: &str, order: &Perm, axis: usize) {
    if let Some(place) = order.place_of(axis) {
        set_attribute(net, node, name, place as i64);
    }
}

fn along(moved: Moved, op: &Op, default: i64) -> Option<Box<dyn Frame>> {
    let axis = axis(op.node.int("axis").unwrap_or(default), moved.rank())?;
    moved.changing(move |net, node, order| set_axis(net, node, "axis", order, axis)).boxed()
}

fn softmax(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    if net.opset >= 13 {
        return along(moved, op, -1);
    }
    // It goes over all axes from its own on.
    let rank = moved.rank();
    let axis = axis(op.node.int("axis").unwrap_or(1), rank)?;
    (axis + 1 == rank).then_some(())?;
    moved.keeping([axis]).boxed()
}

fn concat(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let rank = net.rank(op.output(0)?)?;
    along(Moved::of(rank, vec![Operand::Whole; op.inputs.len()], 1), op, 0)
}

fn cumulative(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let &[stated] = List::new("", 1).of(net, op).known()?.as_slice() else { return None };
    let axis = axis(stated, moved.rank())?;
    let is_plain = net.constant_input(op, 1)?.dims.is_empty();
    moved
        .changing(move |net, node, order| {
            let place = order.place_of(axis).unwrap_or(axis) as i64;
            let bytes = place.to_le_bytes().to_vec();
            let dims: &[usize] = if is_plain { &[] } else { &[1] };
            let constant = crate::Constant::raw("axis", crate::ElementType::Int64, dims, bytes);
            let value = net.add_constant(constant);
            net.set_input(node, 1, Some(value));
        })
        .boxed()
}

fn quantization(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    match net.rank(op.input(1)?)? {
        0 => moved.boxed(),
        1 => along(moved, op, 1),
        // In blocks: there is a scale at some places of all axes.
        _ => along(moved.with(1).with(2), op, 1),
    }
}

fn batch_normalization(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let trains = op.node.int("training_mode").unwrap_or(0) != 0;
    // Of old, statistics could be of each place and not of each channel.
    let by_channel = op.node.int("spatial").unwrap_or(1) != 0;
    (op.outputs.len() == 1 && !trains && by_channel).then_some(())?;
    Moved::first(net, op)?.keeping([1]).boxed()
}

fn layer_normalization(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let rank = moved.rank();
    let axis = axis(op.node.int("axis").unwrap_or(-1), rank)?;
    (op.outputs.len() == 1).then_some(())?;
    moved.keeping(axis..rank).boxed()
}

fn mean_variance(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let stated = op.node.ints("axes").map_or(vec![0, 2, 3], <[i64]>::to_vec);
    let axes = axes(&stated, moved.rank())?;
    moved
        .changing(move |net, node, order| {
            let places = axes.iter().filter_map(|&axis| order.place_of(axis));
            let places: Vec<i64> = places.map(|place| place as i64).collect();
            set_attribute(net, node, "axes", places.as_slice());
        })
        .boxed()
}

/// The last two axes stay; those before, which count the matrices, may move.
fn matmul(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let (left, right) = (net.rank(op.input(0)?)?, net.rank(op.input(1)?)?);
    if left > 2 && right == 2 {
        // A row may be anywhere.
        return Moved::first(net, op)?.keeping([left - 1]).boxed();
    }
    (left == right && left > 2).then_some(())?;
    Moved::of(left, vec![Operand::Whole; 2], 1).keeping([left - 2, left - 1]).boxed()
}

/// Axes of a list that a node is given, counted from the front; `None` also where it has none.
pub(super) fn stated_axes(net: &Net, op: &Op, list: List, rank: usize) -> Option<Vec<usize>> {
    match list.of(net, op) {
        Stated::Known(list) => axes(&list, rank),
        _ => None,
    }
}
