//! Lets convolutions and pools do the padding before them, where that is exactly the same.

use super::Options;
use super::list::{List, Stated, axes, set_attribute, set_ints};
use super::net::{Net, Op, ValueId};
use super::tensor::first_number;

pub(super) fn run(net: &mut Net, _: &Options) -> bool {
    let mut changed = false;
    for id in net.node_ids() {
        let found = net.op(id).and_then(|op| padded(net, op));
        if let Some(found) = found {
            net.set_input(id, 0, Some(found.input));
            set_ints(net, id, "pads", &found.pads);
            if let Some(op) = net.op_mut(id) {
                op.node.attributes.retain(|attribute| attribute.name != "auto_pad");
            }
            if found.counts_pads {
                set_attribute(net, id, "count_include_pad", 1);
            }
            changed = true;
        }
    }
    changed
}

struct Padded {
    input: ValueId,
    /// Both paddings in one.
    pads: Vec<i64>,
    counts_pads: bool,
}

fn padded(net: &Net, op: &Op) -> Option<Padded> {
    let operator = op.standard()?;
    let filler = match operator {
        "Conv" | "AveragePool" => 0.0,
        "MaxPool" => f64::NEG_INFINITY,
        _ => return None,
    };
    let (_, pad) = net.producer_op(op.input(0)?).filter(|(_, before)| before.is("Pad"))?;
    let rank = net.rank(pad.input(0)?)?;
    let outer = spatial_pads(net, pad, rank)?;
    let is_nothing = fills_with(net, pad, filler)
        || (operator == "MaxPool" && fills_with(net, pad, 0.0) && is_never_less(net, pad));
    is_nothing.then_some(())?;
    let own = own_pads(op, rank)?;
    let is_unpadded = own.iter().all(|&pad| pad == 0);
    let counts = op.node.int("count_include_pad").unwrap_or(0) != 0;
    let sum = own.iter().zip(&outer).map(|(one, two)| one.checked_add(*two));
    let pads: Vec<i64> = sum.collect::<Option<_>>()?;
    if operator != "Conv" {
        // A window of padding only has no value of its own.
        let kernel = op.node.ints("kernel_shape")?;
        let inside = pads.iter().zip(kernel.iter().cycle()).all(|(pad, size)| pad < size);
        let is_plain = op.node.int("ceil_mode").unwrap_or(0) == 0
            && op.node.ints("dilations").is_none_or(|list| list.iter().all(|&one| one == 1));
        (inside && is_plain && op.outputs.len() == 1).then_some(())?;
    }
    (operator != "AveragePool" || is_unpadded || counts).then_some(())?;
    Some(Padded { input: pad.input(0)?, pads, counts_pads: operator == "AveragePool" })
}

/// The pads of a Pad that pads nothing but space: all begins, then all ends.
fn spatial_pads(net: &Net, pad: &Op, rank: usize) -> Option<Vec<i64>> {
    (pad.node.string("mode").unwrap_or("constant") == "constant" && rank > 2).then_some(())?;
    let stated = List::new("pads", 1).of(net, pad).known()?;
    let axes = match List::new("axes", 3).of(net, pad) {
        Stated::Absent => (0..rank).collect(),
        stated => axes(&stated.known()?, rank)?,
    };
    (stated.len() == 2 * axes.len()).then_some(())?;
    let mut all = vec![0i64; 2 * rank];
    for (index, &axis) in axes.iter().enumerate() {
        all[axis] = stated[index];
        all[rank + axis] = stated[axes.len() + index];
    }
    let is_spatial = [0, 1, rank, rank + 1].iter().all(|&place| all[place] == 0);
    let grows = all.iter().all(|&pad| pad >= 0);
    (is_spatial && grows).then(|| [&all[2..rank], &all[rank + 2..]].concat())
}

fn fills_with(net: &Net, pad: &Op, filler: f64) -> bool {
    let value = match (pad.input(2), pad.node.float("value")) {
        (Some(value), _) => net.constant(value).and_then(first_number),
        (None, Some(value)) => Some(value.into()),
        (None, None) => Some(0.0),
    };
    // The least float is what pools take for nothing, too.
    value.is_some_and(|value| {
        value == filler || (filler.is_infinite() && value <= f64::from(f32::MIN))
    })
}

/// Whether what is padded is never less than zero, so that zeros are nothing to a maximum.
fn is_never_less(net: &Net, pad: &Op) -> bool {
    let before = pad.input(0).and_then(|input| net.producer_op(input));
    before.is_some_and(|(_, op)| match op.standard() {
        Some("Relu" | "Sigmoid" | "HardSigmoid" | "Softmax" | "Softplus" | "Abs" | "Exp") => true,
        Some("Clip") => {
            let least = net.constant_input(op, 1).and_then(first_number);
            least.or(op.node.float("min").map(f64::from)).is_some_and(|least| least >= 0.0)
        }
        _ => false,
    })
}

/// What an operator pads itself.
fn own_pads(op: &Op, rank: usize) -> Option<Vec<i64>> {
    match op.node.string("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" => {}
        "VALID" => return Some(vec![0; 2 * (rank - 2)]),
        _ => return None,
    }
    let own = op.node.ints("pads").map_or_else(|| vec![0; 2 * (rank - 2)], <[i64]>::to_vec);
    (own.len() == 2 * (rank - 2)).then_some(own)
}
