//! Activations that operator sets have as one operator: HardSigmoid, HardSwish, Mish and Swish.
//!
//! `x sigmoid(x)` below operator set 24 stays as it is: ONNX Runtime and rten make one operator of
//! it when they load a model.

use super::super::Options;
use super::super::net::{Net, ValueId};
use super::gelu::input;
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};

/// An operator, the operator set that has it, and how it is written without it.
struct Activation {
    opset: i64,
    pattern: &'static str,
    fused: fn() -> Fused,
}

const SIXTH: f32 = 1.0 / 6.0;

const ACTIVATIONS: &[Activation] = &[
    Activation {
        opset: 14,
        pattern: "[Mul(x, [Div(Clip(Add(x, 3), 0, 6), 6)|Mul(Clip(Add(x, 3), 0, 6), 0.16666667)])\
            |Div(Mul(x, Clip(Add(x, 3), 0, 6)), 6)|Mul(Mul(x, Clip(Add(x, 3), 0, 6)), 0.16666667)]",
        fused: || Fused::new("HardSwish"),
    },
    Activation {
        opset: 11,
        pattern: "Div(Clip(Add(x, 3), 0, 6), 6)|Mul(Clip(Add(x, 3), 0, 6), 0.16666667)",
        fused: || Fused::new("HardSigmoid").with("alpha", SIXTH).with("beta", 0.5f32),
    },
    Activation { opset: 18, pattern: "Mul(x, Tanh(Softplus(x)))", fused: || Fused::new("Mish") },
    Activation { opset: 24, pattern: "Mul(x, Sigmoid(x))", fused: || Fused::new("Swish") },
];

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() {
        return false;
    }
    let known = ACTIVATIONS.iter().filter(|activation| activation.opset <= net.opset);
    let mut changed = false;
    for activation in known.collect::<Vec<_>>() {
        changed |= each(net, &Pattern::new(activation.pattern), |net, found, output| {
            Some((activation.fused)().input(input(net, found, output)?))
        });
    }
    changed | (net.opset >= 14 && each(net, &Pattern::new("Mul(x, h:HardSigmoid(x))"), hard_swish))
}

/// HardSwish is the product with a HardSigmoid of just these parameters.
fn hard_swish(net: &Net, found: &Found, output: ValueId) -> Option<Fused> {
    let (_, op) = net.producer_op(found.get("h")?)?;
    let is_near = |name: &str, default: f32, wanted: f32| {
        (op.node.float(name).unwrap_or(default) - wanted).abs() <= 1e-6
    };
    (is_near("alpha", 0.2, SIXTH) && is_near("beta", 0.5, 0.5)).then_some(())?;
    Some(Fused::new("HardSwish").input(input(net, found, output)?))
}
