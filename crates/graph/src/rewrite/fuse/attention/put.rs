//! One operator for attention.

use super::super::super::net::{Net, NodeId, ValueId};
use super::super::super::perm::Perm;
use super::super::super::reshapes::target;
use super::super::super::shapes::{Known, Size};
use super::super::replace::{Fused, sweep};
use super::find::{Attention, Heads};
use crate::{ElementType, Node};

/// ONNX's own, with heads first.
pub(super) fn standard(net: &mut Net, root: NodeId, attention: Attention) -> bool {
    let Attention { query, key, value, mask, scale, nodes, .. } = attention;
    let key = heads_first(net, root, key, value.first);
    let (Some(query), Some(key), Some(value)) = (query.first, key, value.first) else {
        return false;
    };
    let fused = Fused::new("Attention").with("scale", scale);
    let fused = fused.input(query).input(key).input(value);
    mask.into_iter().fold(fused, Fused::input).put(net, root);
    sweep(net, &nodes);
    true
}

/// The one that ONNX Runtime adds, with the heads of a row side by side. `false` where they are
/// not so before and after.
pub(super) fn multi_head(net: &mut Net, root: NodeId, attention: Attention) -> bool {
    let given = [attention.query.last, attention.key.last, attention.value.last];
    let [Some(query), Some(key), Some(value)] = given else { return false };
    let Some(place) = Place::of(net, &attention, (query, value)) else { return false };
    let mask = attention.mask.map(|mask| stretched(net, root, mask, query));
    let [query, key, value] = [query, key, value].map(|value| flat(net, root, value));
    let node = Node::new("MultiHeadAttention", &[], &[])
        .in_domain(super::super::MICROSOFT)
        .with("num_heads", place.heads)
        .with("scale", attention.scale);
    let known = Known { element_type: Some(ElementType::Float32), ..place.flat.clone() };
    let base = net.values[place.output].name.clone();
    let result = net.add_node(node, &[query, key, value], (&base, known), root);
    if let (Some(mask), Some((id, _))) = (mask, net.producer(result)) {
        const BIAS: usize = 5;
        net.set_input(id, BIAS, Some(mask));
    }
    let shape = net.add_integers(&format!("{base}/shape"), &[0, 0, place.heads, place.width]);
    Fused::new("Reshape").input(result).input(shape).put(net, place.transpose);
    let mut nodes = attention.nodes;
    nodes.insert(place.transpose);
    sweep(net, &nodes);
    true
}

/// Where the result goes.
struct Place {
    /// The node that puts the heads of a row side by side.
    transpose: NodeId,
    output: ValueId,
    heads: i64,
    width: i64,
    /// What is known of the result with its heads side by side.
    flat: Known,
}

impl Place {
    fn of(net: &Net, attention: &Attention, (query, value): (ValueId, ValueId)) -> Option<Place> {
        let transpose = net.only_user(attention.output)?;
        let op = net.op(transpose).filter(|op| op.is("Transpose"))?;
        (op.node.ints("perm")? == [0, 2, 1, 3]).then_some(())?;
        let (&[batch, rows, heads, _], &[.., width]) = (net.dims(query)?, net.dims(value)?) else {
            return None;
        };
        let (heads, width) = (heads.fixed()?, width.fixed()?);
        let flat = Size::of(heads.checked_mul(width)?);
        let dims = Some(vec![batch, rows, flat]);
        Some(Place {
            transpose,
            output: op.single_output()?,
            heads: i64::try_from(heads).ok()?,
            width: i64::try_from(width).ok()?,
            flat: Known { rank: Some(3), dims, ..Known::default() },
        })
    }
}

/// Rows of all heads, of a value that has them along the last two axes.
fn flat(net: &mut Net, root: NodeId, value: ValueId) -> ValueId {
    let base = net.values[value].name.clone();
    let known = &net.values[value].known;
    let sizes: Option<Vec<usize>> =
        known.dims.iter().flatten().skip(2).map(|size| size.fixed()).collect();
    let width = sizes.map_or(0, |sizes| sizes.into_iter().product::<usize>());
    let dims = known.dims.iter().flatten().take(2).copied().chain([Size::of(width)]).collect();
    let known =
        Known { rank: Some(3), dims: Some(dims), element_type: known.element_type, integers: None };
    let shape = net.add_integers(&format!("{base}/rows"), &[0, 0, -1]);
    net.add_node(Node::new("Reshape", &[], &[]), &[value, shape], (&base, known), root)
}

/// Keys with their heads first, which have the sizes of `values` but for the width.
fn heads_first(
    net: &mut Net,
    root: NodeId,
    keys: Heads,
    values: Option<ValueId>,
) -> Option<ValueId> {
    if let (None, Some(last)) = (keys.first, keys.last) {
        return transposed(net, root, last, &[0, 2, 1, 3]);
    }
    let (None, Some((folded, perm))) = (keys.first, keys.folded) else { return keys.first };
    let folded = transposed(net, root, folded, &perm)?;
    let (&[batch, heads, ..], &[_, rows, width]) = (net.dims(values?)?, net.dims(folded)?) else {
        return None;
    };
    let dims = [batch, heads, rows, width];
    let target = target(&[], &dims)?;
    let base = net.values[folded].name.clone();
    let shape = net.add_integers(&format!("{base}/shape"), &target);
    let known =
        Known { rank: Some(4), dims: Some(dims.to_vec()), ..net.values[folded].known.clone() };
    Some(net.add_node(Node::new("Reshape", &[], &[]), &[folded, shape], (&base, known), root))
}

fn transposed(net: &mut Net, root: NodeId, value: ValueId, perm: &[i64]) -> Option<ValueId> {
    let mut known = net.values[value].known.clone();
    known.dims = match net.dims(value) {
        Some(dims) => Some(Perm::of_ints(perm)?.apply(dims)),
        None => None,
    };
    let base = net.values[value].name.clone();
    let node = Node::new("Transpose", &[], &[]).with("perm", perm);
    Some(net.add_node(node, &[value], (&base, known), root))
}

/// The mask with a row for each row of the queries, which ONNX Runtime expects.
fn stretched(net: &mut Net, root: NodeId, mask: ValueId, query: ValueId) -> ValueId {
    let rows = net.dims(query).and_then(|dims| dims.get(1).copied());
    let known = net.values[mask].known.clone();
    let is_whole = known.dims.as_ref().is_some_and(|dims| dims.get(2).copied() == rows);
    let (false, Some(rows)) = (is_whole, rows) else { return mask };
    let base = net.values[mask].name.clone();
    let length = Node::new("Shape", &[], &[]).with("start", 1).with("end", 2);
    let integers = |count| Known {
        element_type: Some(ElementType::Int64),
        rank: Some(1),
        dims: Some(vec![Size::of(count)]),
        integers: None,
    };
    let length = net.add_node(length, &[query], ("rows", integers(1)), root);
    let (before, after) = (net.add_integers("ones", &[1, 1]), net.add_integers("one", &[1]));
    let concat = Node::new("Concat", &[], &[]).with("axis", 0);
    let shape = net.add_node(concat, &[before, length, after], ("shape", integers(4)), root);
    let mut known = known;
    if let Some(size) = known.dims.as_mut().and_then(|dims| dims.get_mut(2)) {
        *size = rows;
    }
    net.add_node(Node::new("Expand", &[], &[]), &[mask, shape], (&base, known), root)
}
