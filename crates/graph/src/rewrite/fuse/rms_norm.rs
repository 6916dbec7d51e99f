//! RMSNormalization: `x / √(mean(x²) + ε) scale` over the last axes, as Llama and its kin have it.
//!
//! Only where the operator set has it: what ONNX Runtime adds to older ones lies in ONNX's own
//! domain, where no checker knows it. Root Mean Square Layer Normalization,
//! <https://arxiv.org/abs/1910.07467>.

use super::super::Options;
use super::super::net::{Net, ValueId};
use super::super::shapes;
use super::layer_norm::{epsilon, factors, float, last_axes};
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};

/// The operator set that has RMSNormalization.
const OPSET: i64 = 23;

const DEVIATION: &str = "Sqrt(Add(v:[ReduceMean([Pow(x, 2)|Mul(x, x)], ..)\
    |GlobalAveragePool([Pow(x, 2)|Mul(x, x)])], eps))";

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() || net.opset < OPSET {
        return false;
    }
    let inverse = format!("[Reciprocal({DEVIATION})|Div(1, {DEVIATION})]");
    let plain = format!("[Mul(x, {inverse})|Div(x, {DEVIATION})]");
    let pattern = format!("Mul({plain}, scale)|Mul(x, Mul({inverse}, scale))");
    each(net, &Pattern::new(&pattern), normalized)
}

fn normalized(net: &Net, found: &Found, output: ValueId) -> Option<Fused> {
    let x = found.get("x")?;
    float(net, x, output)?;
    let first = last_axes(net, x, found.get("v")?)?;
    let dims = shapes::fixed(net.dims(x)?.get(first..)?)?;
    let scale = factors(net, found.get("scale")?, &dims)?;
    let fused = Fused::new("RMSNormalization")
        .with("axis", first as i64 - net.rank(x)? as i64)
        .with("epsilon", epsilon(net, found.get("eps")?)?)
        .input(x);
    Some(scale.put(fused))
}
