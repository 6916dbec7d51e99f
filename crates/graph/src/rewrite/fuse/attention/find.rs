//! Where attention is, and what it takes.

use std::collections::BTreeSet;

use super::super::super::net::{Net, NodeId, Op, ValueId};
use super::super::super::shapes::Size;
use super::super::numbers::{floats, number};
use super::super::pattern::{Found, Pattern};
use super::super::replace::is_alone;
use crate::ElementType;

/// What attention takes.
pub(super) struct Attention {
    pub(super) query: Heads,
    pub(super) key: Heads,
    pub(super) value: Heads,
    /// Added to the scores.
    pub(super) mask: Option<ValueId>,
    pub(super) scale: f32,
    /// What it gives, heads first.
    pub(super) output: ValueId,
    /// The nodes it is made of.
    pub(super) nodes: BTreeSet<NodeId>,
}

/// One of queries, keys and values.
#[derive(Clone, Default)]
pub(super) struct Heads {
    /// As [batch, heads, rows, width], if there is such a value.
    pub(super) first: Option<ValueId>,
    /// As [batch, rows, heads, width], if there is such a value.
    pub(super) last: Option<ValueId>,
    /// As a value of three axes, and the order of these that gives [batch * heads, rows, width].
    pub(super) folded: Option<(ValueId, [i64; 3])>,
}

/// The product of probabilities and values, by any of the ways to scale and to mask scores.
pub(super) fn pattern() -> Pattern {
    let product = "MatMul([Mul(q, qscale)|q], [Mul(k, kscale)|k])";
    let scaled = format!("[Mul({product}, scale)|Div({product}, divisor)|{product}]");
    let softmax = format!("s:Softmax([Add({scaled}, mask)|{scaled}])");
    Pattern::new(&format!("MatMul([Where(n:IsNaN({softmax}), 0, {softmax})|{softmax}], v)"))
}

pub(super) fn find(net: &Net, pattern: &Pattern, output: ValueId) -> Option<Attention> {
    let ways = pattern.at(net, output).into_iter();
    let mut alone = ways.filter(|found| is_alone(net, &found.nodes, output));
    alone.find_map(|found| attention(net, found, output))
}

fn attention(net: &Net, found: Found, output: ValueId) -> Option<Attention> {
    let (query, key, value) = (found.get("q")?, found.get("k")?, found.get("v")?);
    let dims = |value: ValueId| <[Size; 4]>::try_from(net.dims(value)?).ok();
    let ([batch, heads, rows, width], transposed) = (dims(query)?, dims(key)?);
    let [_, _, columns, _] = dims(value)?;
    let is_alike = transposed == [batch, heads, width, columns]
        && dims(value)?[..2] == [batch, heads]
        && is_over_last(net, found.get("s")?);
    (is_alike && net.element_type(output)? == ElementType::Float32).then_some(())?;
    let mask = found.get("mask");
    if let Some(mask) = mask {
        let is_one_of = |size: Size, other: Size| size == other || size.is_one();
        let [first, second, third, last] = dims(mask)?;
        let fits = is_one_of(first, batch) && is_one_of(second, heads) && is_one_of(third, rows);
        (fits && last == columns).then_some(())?;
    }
    let is_safe = found.get("n").is_none() || mask.is_none_or(|mask| is_finite(net, mask));
    is_safe.then_some(())?;
    Some(Attention {
        query: heads_of(net, query),
        key: keys(net, key)?,
        value: heads_of(net, value),
        mask,
        scale: scale(net, &found)? as f32,
        output,
        nodes: found.nodes,
    })
}

/// The product of all that scales scores.
fn scale(net: &Net, found: &Found) -> Option<f64> {
    let factor = |name: &str| match found.get(name) {
        Some(value) => Some(number(net.constant(value)?)?.value),
        None => Some(1.0),
    };
    Some(factor("qscale")? * factor("kscale")? * factor("scale")? / factor("divisor")?)
}

fn is_over_last(net: &Net, softmax: ValueId) -> bool {
    let axis = net.producer_op(softmax).map(|(_, op)| op.node.int("axis").unwrap_or(-1));
    matches!(axis, Some(-1 | 3))
}

/// Whether a mask masks nothing out for good: where it is a choice between finite constants.
fn is_finite(net: &Net, mask: ValueId) -> bool {
    let holds_finite = |value: ValueId| {
        let items = net.constant(value).and_then(floats);
        items.is_some_and(|items| items.iter().all(|item| item.is_finite()))
    };
    holds_finite(mask)
        || net.producer_op(mask).is_some_and(|(_, op)| {
            op.is("Where")
                && [1, 2].into_iter().all(|slot| op.input(slot).is_some_and(holds_finite))
        })
}

fn perm(op: &Op) -> Option<&[i64]> {
    op.is("Transpose").then(|| op.node.ints("perm"))?
}

/// The two forms of a value that has its heads first.
fn heads_of(net: &Net, first: ValueId) -> Heads {
    let last = net.producer_op(first).and_then(|(_, op)| match perm(op)? {
        [0, 2, 1, 3] => op.input(0),
        _ => None,
    });
    Heads { first: Some(first), last, folded: None }
}

/// Keys, of which `transposed` has the rows last: [batch, heads, width, rows].
fn keys(net: &Net, transposed: ValueId) -> Option<Heads> {
    let (_, op) = net.producer_op(transposed)?;
    match perm(op) {
        Some([0, 1, 3, 2]) => Some(heads_of(net, op.input(0)?)),
        Some([0, 2, 3, 1]) => Some(Heads { last: op.input(0), ..Heads::default() }),
        Some(_) => None,
        None => folded_keys(net, transposed, op),
    }
}

/// Keys that PyTorch transposes with batch and heads along one axis.
fn folded_keys(net: &Net, transposed: ValueId, op: &Op) -> Option<Heads> {
    let folded = op.input(0).filter(|_| op.is("Reshape"))?;
    let (_, middle) = net.producer_op(folded)?;
    let (&[_, width, rows], &[batch, heads, ..]) = (net.dims(folded)?, net.dims(transposed)?)
    else {
        return None;
    };
    (net.dims(transposed)?[2..] == [width, rows]).then_some(())?;
    let &[one, two, three] = perm(middle)? else { return None };
    let source = middle.input(0)?;
    let unfolded = net.producer_op(source).filter(|(_, op)| op.is("Reshape"));
    let key = unfolded.and_then(|(_, op)| op.input(0)).filter(|&key| {
        net.dims(key) == Some(&[batch, heads, rows, width]) && [one, two, three] == [0, 2, 1]
    });
    Some(match key {
        Some(key) => heads_of(net, key),
        None => Heads { folded: Some((source, [one, three, two])), ..Heads::default() },
    })
}
