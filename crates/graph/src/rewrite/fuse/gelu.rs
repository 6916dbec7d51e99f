//! GELU in the spellings that exporters leave: `x Φ(x)` by the error function, its approximation by
//! the hyperbolic tangent, and the one by the logistic function that CLIP uses.
//!
//! Gaussian Error Linear Units, <https://arxiv.org/abs/1606.08415>.

use super::super::Options;
use super::super::net::{Net, ValueId};
use super::Target;
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};
use crate::ElementType;

/// The operator set that has Gelu.
const GELU_OPSET: i64 = 20;

/// `1 + erf(x / √2)` is `2 Φ(x)`.
const TWICE: &str = "Add(Erf([Div(x, 1.41421356)|Mul(x, 0.70710678)]), 1)";

/// `√(2 / π) (x + 0.044715 x³)`, also with x taken out of the sum.
const INNER: &str = "[Mul(Add(x, [Mul([Pow(x, 3)|Mul(x, Mul(x, x))], 0.044715)\
    |Mul(Mul(x, 0.044715), Mul(x, x))|Mul(x, Mul(Mul(x, x), 0.044715))\
    |Mul(x, Mul(Mul(x, 0.044715), x))]), 0.79788456)\
    |Mul(Mul(x, 0.79788456), Add([Mul(Mul(x, 0.044715), x)|Mul(Mul(x, x), 0.044715)], 1))\
    |Mul(x, Mul(Add([Mul(Mul(x, 0.044715), x)|Mul(Mul(x, x), 0.044715)], 1), 0.79788456))]";

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    let Some(target) = options.fuse else { return false };
    let microsoft = target == Target::OnnxRuntime;
    if net.opset < GELU_OPSET && !microsoft {
        return false;
    }
    let exact = each(net, &product(TWICE), |net, found, output| {
        let x = single(net, found, output)?;
        Some(
            if net.opset >= GELU_OPSET { Fused::new("Gelu") } else { Fused::microsoft("Gelu") }
                .input(x),
        )
    });
    let near = each(net, &product(&format!("Add(Tanh({INNER}), 1)")), |net, found, output| {
        let x = single(net, found, output)?;
        let standard = || Fused::new("Gelu").with("approximate", "tanh");
        let fast = || Fused::microsoft("FastGelu");
        Some(if net.opset >= GELU_OPSET { standard() } else { fast() }.input(x))
    });
    let quick = microsoft
        && each(net, &Pattern::new(QUICK), |net, found, output| {
            let x = single(net, found, output)?;
            Some(Fused::microsoft("QuickGelu").with("alpha", 1.702f32).input(x))
        });
    exact || near || quick
}

const QUICK: &str = "Mul(x, Sigmoid(Mul(x, 1.702)))";

/// Half of `x` times `twice`, wherever it is halved.
fn product(twice: &str) -> Pattern {
    let half = |of: &str| format!("[Mul({of}, 0.5)|Div({of}, 2)]");
    let whole = format!("Mul(x, {twice})");
    Pattern::new(&format!("{}|Mul({}, {twice})|Mul(x, {})", half(&whole), half("x"), half(twice)))
}

/// What goes in, if it has the shape and the type of what comes out.
pub(super) fn input(net: &Net, found: &Found, output: ValueId) -> Option<ValueId> {
    let x = found.get("x")?;
    let is_float = matches!(
        net.element_type(x)?,
        ElementType::Float16 | ElementType::Float32 | ElementType::Float64
    );
    (is_float && net.rank(x)? == net.rank(output)? && net.constant(x).is_none()).then_some(x)
}

/// What goes in, of the type for which engines have these operators.
fn single(net: &Net, found: &Found, output: ValueId) -> Option<ValueId> {
    input(net, found, output).filter(|&x| net.element_type(x) == Some(ElementType::Float32))
}
