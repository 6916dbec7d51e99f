//! Removes nodes that give just what they take.

use super::Options;
use super::list::{List, Stated, axis};
use super::net::{Net, Op, ValueId};
use crate::Constant;

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        let Some(op) = net.op(id) else { continue };
        let Some((input, output)) = same(net, op) else { continue };
        if is_needed(net, op, input, output) {
            continue;
        }
        if net.is_used(output) {
            net.replace(output, input);
            changed = true;
        }
        if !net.op(id).is_some_and(|op| op.outputs.iter().flatten().any(|&one| net.is_used(one))) {
            net.remove(id);
            changed = true;
        }
    }
    changed
}

/// An Identity gives an output its name where nothing else can.
fn is_needed(net: &Net, op: &Op, input: ValueId, output: ValueId) -> bool {
    op.is("Identity")
        && net.outputs.contains(&output)
        && (net.producer(input).is_none() || net.outputs.contains(&input))
}

/// The input that a node gives again, and the output.
fn same(net: &Net, op: &Op) -> Option<(ValueId, ValueId)> {
    let input = op.input(0)?;
    let output = op.output(0)?;
    let is_same = match op.standard()? {
        "Identity" => true,
        "Dropout" => !trains(net, op),
        "Cast" => op.node.int("to")? == i64::from(net.element_type(input)?.code()),
        "CastLike" => net.element_type(input)? == net.element_type(op.input(1)?)?,
        "Transpose" => op.node.ints("perm")?.iter().enumerate().all(|(i, &axis)| i as i64 == axis),
        "Reshape" | "Expand" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            net.dims(input)? == net.dims(output)?
        }
        "Tile" => all(net, op, 1, 1)?,
        "Pad" => pads_nothing(net, op)?,
        "Slice" => takes_all(net, op, input, output)?,
        "Concat" | "Sum" | "Max" | "Min" | "Mean" => op.inputs.len() == 1,
        "Clip" => op.inputs.len() == 1 && op.node.attributes.is_empty(),
        "Resize" => resizes_nothing(net, op, input, output)?,
        "AveragePool" | "MaxPool" => pools_nothing(op),
        "Add" | "Mul" => return neutral(net, op, 0).or_else(|| neutral(net, op, 1)),
        "Sub" | "Div" | "Pow" => return neutral(net, op, 0),
        "QuantizeLinear" => return requantized(net, op),
        _ => false,
    };
    is_same.then_some((input, output))
}

/// Whether a Dropout drops anything.
pub(super) fn trains(net: &Net, op: &Op) -> bool {
    // Before operator set 12 it only ever serves.
    let is_off = |constant: &Constant| constant.integers(1).is_some_and(|list| list == [0]);
    op.input(2).is_some() && !net.constant_input(op, 2).is_some_and(is_off)
}

/// Whether a list that is given as an input is made of `item` only.
fn all(net: &Net, op: &Op, slot: usize, item: i64) -> Option<bool> {
    let list = List::new("", slot).of(net, op).known()?;
    Some(list.iter().all(|&other| other == item))
}

fn pads_nothing(net: &Net, op: &Op) -> Option<bool> {
    let pads = List::new("pads", 1).of(net, op).known()?;
    Some(pads.iter().all(|&pad| pad == 0))
}

/// Whether a slice takes all: where sizes are open, only "from the first to the end" surely does.
fn takes_all(net: &Net, op: &Op, input: ValueId, output: ValueId) -> Option<bool> {
    const END: i64 = i32::MAX as i64;
    let list = |name, slot| List::new(name, slot).of(net, op);
    let forward = match list("steps", 4) {
        Stated::Absent => true,
        Stated::Known(steps) => steps.iter().all(|&step| step == 1),
        Stated::Computed => false,
    };
    let (before, after) = (net.dims(input)?, net.dims(output)?);
    if !forward || before != after {
        return Some(false);
    }
    if before.iter().all(|dim| dim.fixed().is_some()) {
        return Some(true);
    }
    let (starts, ends) = (list("starts", 1).known()?, list("ends", 2).known()?);
    let axes = match list("axes", 3) {
        Stated::Absent => (0..starts.len() as i64).collect(),
        stated => stated.known()?,
    };
    let mut parts = axes.iter().zip(starts.iter().zip(&ends));
    Some(parts.all(|(&stated, (&start, &end))| {
        let size = axis(stated, before.len()).map(|axis| before[axis]);
        size.is_some_and(|size| size.fixed().is_some()) || (start == 0 && end >= END)
    }))
}

fn resizes_nothing(net: &Net, op: &Op, input: ValueId, output: ValueId) -> Option<bool> {
    const EXACT: [&str; 3] = ["half_pixel", "align_corners", "asymmetric"];
    let mode = op.node.string("coordinate_transformation_mode").unwrap_or("half_pixel");
    let is_plain = EXACT.contains(&mode) && op.node.int("antialias").unwrap_or(0) == 0;
    let (before, after) = (net.dims(input)?, net.dims(output)?);
    let is_sure = before.iter().all(|dim| dim.fixed().is_some());
    Some(is_plain && net.opset >= 11 && before == after && is_sure)
}

fn pools_nothing(op: &Op) -> bool {
    let ones =
        |name: &str| op.node.ints(name).is_none_or(|list| list.iter().all(|&item| item == 1));
    let unpadded = op.node.ints("pads").is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
    let has_kernel = op.node.ints("kernel_shape").is_some();
    has_kernel && ones("kernel_shape") && ones("strides") && unpadded && op.outputs.len() == 1
}

/// Arithmetic with a constant that changes nothing; the other operand is at `slot`.
fn neutral(net: &Net, op: &Op, slot: usize) -> Option<(ValueId, ValueId)> {
    let input = op.input(slot)?;
    let constant = net.constant_input(op, 1 - slot)?;
    let wanted = if op.is("Add") || op.is("Sub") { 0.0 } else { 1.0 };
    // It must not stretch the other operand.
    let is_small = constant.elements() == Some(1) && constant.dims.len() <= net.rank(input)?;
    let is_same_type = net.element_type(input)? == constant.element_type;
    let is_neutral =
        is_small && is_same_type && super::tensor::first_number(constant) == Some(wanted);
    is_neutral.then_some((input, op.output(0)?))
}

/// What was dequantized and is quantized again with the same parameters.
fn requantized(net: &Net, op: &Op) -> Option<(ValueId, ValueId)> {
    let (_, before) = net.producer_op(op.input(0)?)?;
    let original = before.input(0)?;
    let same = |slot: usize| match (op.input(slot), before.input(slot)) {
        (None, None) => true,
        (Some(one), Some(two)) if one == two => true,
        (Some(one), Some(two)) => match (net.constant(one), net.constant(two)) {
            (Some(one), Some(two)) => one.dims == two.dims && one.data == two.data,
            _ => false,
        },
        _ => false,
    };
    let is_same = before.is("DequantizeLinear")
        && same(1)
        && same(2)
        && op.node.int("axis") == before.node.int("axis")
        && op.node.int("block_size") == before.node.int("block_size")
        && net.element_type(original)? == net.element_type(op.output(0)?)?;
    is_same.then_some((original, op.output(0)?))
}
