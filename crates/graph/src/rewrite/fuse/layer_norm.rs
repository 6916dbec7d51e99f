//! LayerNormalization, where its mean, variance, scale and bias are nodes of their own.
//!
//! `(x - mean) / √(variance + ε) scale + bias` over the last axes, as PyTorch's exporters write it
//! below operator set 17, and `x r + (bias - mean r)` with `r = scale / √(variance + ε)` as Keras
//! does. Layer Normalization, <https://arxiv.org/abs/1607.06450>.

use super::super::Options;
use super::super::list::{List, Stated, axis};
use super::super::net::{Net, Op, ValueId};
use super::super::shapes;
use super::numbers::{constant, floats, number};
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};
use crate::{Constant, ElementType};

/// The operator set that has LayerNormalization.
const OPSET: i64 = 17;

/// tf2onnx takes means over the last of three axes by pooling.
const DIFFERENCE: &str = "c:Sub(x, m:[ReduceMean(x, ..)|GlobalAveragePool(x)])";

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() || net.opset < OPSET {
        return false;
    }
    let plain = each(net, &plain(), |net, found, output| normalized(net, found, output, None));
    let spread = each(net, &spread(), |net, found, output| {
        normalized(net, found, output, found.get("bias"))
    });
    let scale = each(net, &Pattern::new("Mul(n:LayerNormalization(x, s, ..), a)"), scaled);
    let bias = each(net, &Pattern::new("Add(n:LayerNormalization(x, s, ..), a)"), shifted);
    plain || spread || scale || bias
}

/// `variance + ε`.
fn variance() -> String {
    let square = format!("[Pow({DIFFERENCE}, 2)|Mul({DIFFERENCE}, {DIFFERENCE})]");
    format!("Add(v:[ReduceMean({square}, ..)|GlobalAveragePool({square})], eps)")
}

fn deviation() -> String {
    let variance = variance();
    format!("[Sqrt({variance})|Pow({variance}, 0.5)]")
}

fn inverse() -> String {
    let (variance, deviation) = (variance(), deviation());
    format!("[Reciprocal({deviation})|Div(1, {deviation})|Pow({variance}, -0.5)]")
}

fn plain() -> Pattern {
    let (deviation, inverse) = (deviation(), inverse());
    Pattern::new(&format!("Div({DIFFERENCE}, {deviation})|Mul({DIFFERENCE}, {inverse})"))
}

/// The form that has no difference but in its variance.
fn spread() -> Pattern {
    let inverse = inverse();
    let product = format!("Mul(x, t:[Mul({inverse}, scale)|{inverse}])");
    let moved = "[Neg(Mul(m, t))|Mul(Neg(m), t)]";
    Pattern::new(&format!(
        "Add({product}, [{moved}|Add({moved}, bias)|Sub(bias, Mul(m, t))])\
         |Sub({product}, Mul(m, t))"
    ))
}

/// LayerNormalization of `x`, with what stands for its scale.
fn normalized(net: &Net, found: &Found, output: ValueId, bias: Option<ValueId>) -> Option<Fused> {
    let x = found.get("x")?;
    let first = last_axes(net, x, found.get("m")?)?;
    (last_axes(net, x, found.get("v")?)? == first).then_some(())?;
    let dims = shapes::fixed(net.dims(x)?.get(first..)?)?;
    let epsilon = epsilon(net, found.get("eps")?)?;
    let element_type = float(net, x, output)?;
    let fused = Fused::new("LayerNormalization")
        .with("axis", first as i64 - net.rank(x)? as i64)
        .with("epsilon", epsilon)
        .input(x);
    let fused = match found.get("scale") {
        Some(scale) => factors(net, scale, &dims)?.put(fused),
        None => fused.constant(ones(element_type, &dims)?),
    };
    Some(match bias {
        Some(bias) => factors(net, bias, &dims)?.put(fused),
        None => fused,
    })
}

/// A type that is normalized in, the same before and after.
pub(super) fn float(net: &Net, x: ValueId, output: ValueId) -> Option<ElementType> {
    let element_type = net.element_type(x)?;
    let is_float = matches!(element_type, ElementType::Float32 | ElementType::Float16);
    let is_same = net.element_type(output)? == element_type && net.dims(x)? == net.dims(output)?;
    (is_float && is_same).then_some(element_type)
}

/// The number that is added to a variance.
pub(super) fn epsilon(net: &Net, value: ValueId) -> Option<f32> {
    let epsilon = number(net.constant(value)?)?.value;
    (0.0..1.0).contains(&epsilon).then_some(epsilon as f32)
}

/// The first of the last axes that a value is the mean over, where these stay as axes of one
/// element.
pub(super) fn last_axes(net: &Net, x: ValueId, mean: ValueId) -> Option<usize> {
    let rank = net.rank(x)?;
    let (_, op) = net.producer_op(mean)?;
    if op.is("GlobalAveragePool") {
        return (rank > 2).then_some(2);
    }
    (op.node.int("keepdims").unwrap_or(1) == 1).then_some(())?;
    let mut axes = axes(net, op, rank)?;
    axes.sort_unstable();
    axes.dedup();
    let first = *axes.first()?;
    axes.iter().copied().eq(first..rank).then_some(first)
}

fn axes(net: &Net, op: &Op, rank: usize) -> Option<Vec<usize>> {
    match List::new("axes", 1).of(net, op) {
        Stated::Known(list) => list.iter().map(|&stated| axis(stated, rank)).collect(),
        _ => None,
    }
}

/// A scale or a bias of LayerNormalization.
pub(super) enum Factors {
    Value(ValueId),
    Constant(Constant),
}

impl Factors {
    pub(super) fn put(self, fused: Fused) -> Fused {
        match self {
            Factors::Value(value) => fused.input(value),
            Factors::Constant(constant) => fused.constant(constant),
        }
    }
}

/// A value that has one number for each normalized element; what has leading axes of one element
/// is given without them.
pub(super) fn factors(net: &Net, value: ValueId, dims: &[usize]) -> Option<Factors> {
    let own = shapes::fixed(net.dims(value)?)?;
    if own == dims {
        return Some(Factors::Value(value));
    }
    let extra = own.len().checked_sub(dims.len())?;
    let fits = own[extra..] == *dims && own[..extra].iter().all(|&size| size == 1);
    let held = net.constant(value).filter(|held| fits && held.bytes().is_some())?;
    Some(Factors::Constant(Constant { dims: dims.to_vec(), ..held.clone() }))
}

fn ones(element_type: ElementType, dims: &[usize]) -> Option<Constant> {
    let count = modelyard_tensor::Shape::new(dims).elements()?;
    constant("", element_type, dims, &vec![1.0; count])
}

/// A multiplication after a LayerNormalization that scales by one so far.
fn scaled(net: &Net, found: &Found, output: ValueId) -> Option<Fused> {
    let (op, scale, added) = after(net, found, output)?;
    let is_plain = floats(net.constant(scale)?)?.iter().all(|&factor| factor == 1.0);
    (is_plain && op.input(2).is_none()).then_some(())?;
    Some(added.put(Fused::of(op.node.clone()).input(op.input(0)?)))
}

/// An addition after a LayerNormalization that adds nothing so far.
fn shifted(net: &Net, found: &Found, output: ValueId) -> Option<Fused> {
    let (op, scale, added) = after(net, found, output)?;
    op.input(2).is_none().then_some(())?;
    Some(added.put(Fused::of(op.node.clone()).input(op.input(0)?).input(scale)))
}

/// The LayerNormalization, its scale, and what is multiplied or added.
fn after<'a>(net: &'a Net, found: &Found, output: ValueId) -> Option<(&'a Op, ValueId, Factors)> {
    let normal = found.get("n")?;
    float(net, normal, output)?;
    let (_, op) = net.producer_op(normal)?;
    let scale = found.get("s")?;
    let dims = shapes::fixed(net.dims(scale)?)?;
    let added = found.get("a").filter(|&added| net.constant(added).is_some())?;
    let is_same = net.element_type(added)? == net.element_type(scale)?;
    Some((op, scale, factors(net, added, &dims).filter(|_| is_same)?))
}
