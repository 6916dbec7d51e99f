//! Operators that are given something for each axis: Pad, Slice, Tile, Expand, Resize.

use super::super::super::list::{List, Stated, axes, set_attribute};
use super::super::super::net::{Net, NodeId, Op, ValueId};
use super::super::super::perm::Perm;
use super::moved::{Moved, Operand};
use super::{Build, Frame};
use crate::{Constant, ElementType};

pub(super) fn build(operator: &str) -> Option<Build> {
    Some(match operator {
        "Pad" => pad,
        "Slice" => slice,
        "Tile" => tile,
        "Expand" => expand,
        "Resize" | "Upsample" => resize,
        _ => return None,
    })
}

/// The same axes where they went.
fn places(axes: &[usize], order: &Perm) -> Vec<i64> {
    axes.iter().filter_map(|&axis| order.place_of(axis)).map(|place| place as i64).collect()
}

fn moving_axes(
    moved: Moved,
    list: List,
    axes: Vec<usize>,
    as_attribute: bool,
) -> Option<Box<dyn Frame>> {
    moved
        .changing(move |net, node, order| {
            list.set(net, node, &places(&axes, order), as_attribute);
        })
        .boxed()
}

fn pad(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let rank = moved.rank();
    let axes_list = List::new("axes", 3);
    match (axes_list.of(net, op), List::new("pads", 1).of(net, op)) {
        (Stated::Known(list), _) => moving_axes(moved, axes_list, axes(&list, rank)?, false),
        (Stated::Absent, Stated::Known(pads)) if pads.len() == 2 * rank => moved
            .changing(move |net, node, order| {
                let (begins, ends) = pads.split_at(order.rank());
                let pads = [order.apply(begins), order.apply(ends)].concat();
                List::new("pads", 1).set(net, node, &pads, false);
            })
            .boxed(),
        (Stated::Absent, Stated::Computed) if net.opset >= 18 => {
            moving_axes(moved, axes_list, (0..rank).collect(), false)
        }
        _ => None,
    }
}

fn slice(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let list = List::new("axes", 3);
    let is_old = net.opset < 10;
    let axes = match list.of(net, op) {
        Stated::Known(stated) => axes(&stated, moved.rank())?,
        Stated::Absent => {
            let count = match List::new("starts", 1).of(net, op) {
                Stated::Known(starts) => starts.len(),
                _ => net.dims(op.input(1)?)?.first()?.fixed()?,
            };
            (count <= moved.rank()).then(|| (0..count).collect())?
        }
        Stated::Computed => return None,
    };
    moving_axes(moved, list, axes, is_old)
}

fn tile(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let moved = Moved::first(net, op)?;
    let list = List::new("repeats", 1);
    let repeats = list.of(net, op).known()?;
    (repeats.len() == moved.rank()).then_some(())?;
    moved
        .changing(move |net, node, order| list.set(net, node, &order.apply(&repeats), false))
        .boxed()
}

fn expand(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let list = List::new("shape", 1);
    let mut dims = list.of(net, op).known()?;
    let own = net.rank(op.input(0)?)?;
    let rank = own.max(dims.len());
    dims.splice(0..0, std::iter::repeat_n(1, rank - dims.len()));
    let operand = if own == rank { Operand::Whole } else { Operand::Last(own) };
    Moved::of(rank, vec![operand, Operand::Apart], 1)
        .changing(move |net, node, order| list.set(net, node, &order.apply(&dims), false))
        .boxed()
}

/// Engines resize images whose first two axes stay as they are.
struct Resized {
    moved: Moved,
    /// By axis: whether its size changes.
    changes: Vec<bool>,
}

impl Resized {
    fn is_usual(&self, order: &Perm) -> bool {
        let leading = |axes: &[bool]| axes.iter().take(2).any(|&changes| changes);
        order.rank() == self.changes.len() && !leading(&order.apply(&self.changes))
    }
}

impl Frame for Resized {
    fn of_input(&self, slot: usize, order: &Perm) -> Option<super::State> {
        self.moved.of_input(slot, order).filter(|_| order.is_identity() || self.is_usual(order))
    }

    fn of_output(&self, slot: usize, order: &Perm) -> Option<super::State> {
        self.moved.of_output(slot, order).filter(|_| order.is_identity() || self.is_usual(order))
    }

    fn apply(&self, net: &mut Net, node: NodeId, state: &super::State) {
        self.moved.apply(net, node, state);
    }
}

fn resize(net: &Net, op: &Op) -> Option<Box<dyn Frame>> {
    let crops = op.node.string("coordinate_transformation_mode") == Some("tf_crop_and_resize");
    let moved = Moved::first(net, op)?;
    let rank = moved.rank();
    (!crops && rank >= 3).then_some(())?;
    let (before, after) = (net.dims(op.input(0)?)?, net.dims(op.output(0)?)?);
    let changes = before.iter().zip(after).map(|(one, two)| one != two).collect();
    if let Some(stated) = op.node.ints("axes") {
        let axes = axes(stated, rank)?;
        let moved = moved.changing(move |net, node, order| {
            set_attribute(net, node, "axes", places(&axes, order).as_slice());
        });
        return Some(Box::new(Resized { moved, changes }));
    }
    // Scales and sizes: what there is must be known.
    let given: Vec<usize> = (1..op.inputs.len()).filter(|&slot| op.input(slot).is_some()).collect();
    let mut lists = Vec::new();
    for slot in given {
        let constant = net.constant_input(op, slot)?;
        match constant.dims[..] {
            [0] => {}
            [length] if length == rank => lists.push((slot, constant.clone())),
            _ => return None,
        }
    }
    let scales = op.node.floats("scales").map(<[f32]>::to_vec);
    let moved = moved.changing(move |net, node, order| {
        for (slot, constant) in &lists {
            let value = reordered(net, constant, order);
            net.set_input(node, *slot, value);
        }
        if let Some(scales) = scales.as_ref().filter(|scales| scales.len() == order.rank()) {
            set_attribute(net, node, "scales", crate::AttributeValue::Floats(order.apply(scales)));
        }
    });
    Some(Box::new(Resized { moved, changes }))
}

/// A constant of one item an axis, in another order.
fn reordered(net: &mut Net, constant: &Constant, order: &Perm) -> Option<ValueId> {
    fn chunks<const N: usize>(bytes: &[u8], order: &Perm) -> Option<Vec<u8>> {
        let items = bytes.as_chunks::<N>().0;
        (items.len() == order.rank()).then(|| order.apply(items).concat())
    }
    let bytes = constant.bytes()?;
    let items = match constant.element_type {
        ElementType::Float32 => chunks::<4>(&bytes, order),
        ElementType::Int64 => chunks::<8>(&bytes, order),
        _ => None,
    }?;
    Some(net.add_constant(Constant::raw(
        &constant.name,
        constant.element_type,
        &constant.dims,
        items,
    )))
}
