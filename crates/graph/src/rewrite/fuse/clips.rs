//! One Clip instead of two, and of a Clip and a Relu.

use super::super::Options;
use super::super::net::{Net, Op, ValueId};
use super::gelu::input;
use super::numbers::{constant, number};
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};
use crate::ElementType;

/// Clip has its bounds as inputs from here on.
const OPSET: i64 = 11;

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() || net.opset < OPSET {
        return false;
    }
    const INNER: &str = "[i:Clip(x, ..)|i:Relu(x)]";
    let pattern = format!("Clip({INNER}, ..)|Relu(i:Clip(x, ..))");
    each(net, &Pattern::new(&pattern), merged)
}

/// From this to that; infinite where it is open.
#[derive(Clone, Copy)]
struct Bounds {
    least: f64,
    most: f64,
}

fn merged(net: &Net, found: &Found, output: ValueId) -> Option<Fused> {
    let x = input(net, found, output)?;
    let element_type = net.element_type(x)?;
    let inner = bounds(net, net.producer_op(found.get("i")?)?.1)?;
    let outer = bounds(net, net.producer_op(output)?.1)?;
    // The later one has the last word.
    let within = |value: f64| value.max(outer.least).min(outer.most);
    let bounds = Bounds { least: within(inner.least), most: within(inner.most) };
    let fused = Fused::new("Clip").input(x);
    let fused = bound(fused, bounds.least, element_type, "min")?;
    Some(if bounds.most.is_finite() {
        bound(fused, bounds.most, element_type, "max")?
    } else {
        fused
    })
}

fn bound(fused: Fused, value: f64, element_type: ElementType, name: &str) -> Option<Fused> {
    if value.is_infinite() {
        return Some(fused.optional(None));
    }
    Some(fused.constant(constant(name, element_type, &[], &[value])?))
}

fn bounds(net: &Net, op: &Op) -> Option<Bounds> {
    if op.is("Relu") {
        return Some(Bounds { least: 0.0, most: f64::INFINITY });
    }
    let at = |slot: usize, open: f64| match op.input(slot) {
        None => Some(open),
        Some(value) => Some(number(net.constant(value)?)?.value),
    };
    let (least, most) = (at(1, f64::NEG_INFINITY)?, at(2, f64::INFINITY)?);
    (least <= most && (least.is_finite() || most.is_finite())).then_some(Bounds { least, most })
}
