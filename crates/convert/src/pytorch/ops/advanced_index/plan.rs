//! Which axes are indexed, and by what.

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::Eval;
use crate::pytorch::graph::Size;
use crate::reference::index;
use crate::reference::{Array, elementwise, layout, shape};

/// Which axes are indexed, and where the indexed ones stand in the result.
pub(super) struct Plan {
    /// The indexed axes, in order.
    pub(super) axes: Vec<usize>,
    /// The indexed axes first, then the others.
    pub(super) order: Vec<usize>,
    /// Whether the indexed axes are side by side: then the result has them where they were, else
    /// in front.
    pub(super) is_adjacent: bool,
}

impl Plan {
    pub(super) fn new(indexed: &[bool], rank: usize) -> Plan {
        let axes: Vec<usize> =
            (0..rank).filter(|&axis| indexed.get(axis).copied().unwrap_or(false)).collect();
        let others = (0..rank).filter(|axis| !axes.contains(axis));
        let order = axes.iter().copied().chain(others).collect();
        let is_adjacent = axes.windows(2).all(|pair| pair[1] == pair[0] + 1);
        Plan { axes, order, is_adjacent }
    }

    /// The order that brings the axes of a result (`inner` axes of the indices in front) to where
    /// they belong.
    pub(super) fn result_order(&self, inner: usize) -> Vec<usize> {
        let rank = inner + self.order.len() - self.axes.len();
        let ahead = if self.is_adjacent { self.axes.first().copied().unwrap_or(0) } else { 0 };
        let others = inner..inner + ahead;
        others.chain(0..inner).chain(inner + ahead..rank).collect()
    }

    /// The order that undoes the transpose to `order`.
    pub(super) fn back(&self) -> Vec<usize> {
        inverse(&self.order)
    }
}

pub(super) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    for (at, &from) in order.iter().enumerate() {
        back[from] = at;
    }
    back
}

/// The indices of a call by axis, booleans replaced by where they are true.
pub(super) fn indices(
    call: &mut Call<'_, '_>,
    rank: usize,
) -> Result<Vec<Option<Tensor>>, Refusal> {
    let mut all = Vec::new();
    for index in call.optional_tensors("indices")? {
        match index {
            Some(mask) if matches!(mask.element_type, ElementType::Bool | ElementType::Uint8) => {
                let found = call.to.emit("NonZero", &[&mask.name]);
                for axis in 0..mask.rank() {
                    let at = call.to.emitter.integer("axis", axis as i64);
                    let name = call.to.emit_node(node("Gather", &[&found, &at]).with("axis", 0i64));
                    let sizes = vec![Size::Symbol(format!("number of true in {}", mask.name))];
                    all.push(Some(Tensor { name, element_type: ElementType::Int64, sizes }));
                }
            }
            Some(index) => {
                let name = call.to.cast(&index.name, index.element_type, ElementType::Int64);
                all.push(Some(Tensor { name, element_type: ElementType::Int64, ..index }));
            }
            None => all.push(None),
        }
    }
    if all.len() > rank {
        return Err(Refusal::new("more indices than axes", ""));
    }
    Ok(all)
}

/// The shape that several tensors broadcast to, as sizes and as extents.
pub(super) fn common(call: &mut Call<'_, '_>, tensors: &[Tensor]) -> (Vec<Size>, Vec<Extent>) {
    let rank = tensors.iter().map(Tensor::rank).max().unwrap_or(0);
    let (mut sizes, mut extents) = (Vec::new(), Vec::new());
    for axis in 0..rank {
        let behind = rank - axis;
        let at = |tensor: &Tensor| tensor.rank().checked_sub(behind);
        let is_wide =
            |tensor: &&Tensor| at(tensor).is_some_and(|at| tensor.sizes[at] != Size::Known(1));
        match tensors.iter().find(is_wide).and_then(|tensor| Some((tensor, at(tensor)?))) {
            Some((tensor, at)) => {
                sizes.push(tensor.sizes[at].clone());
                extents.push(call.to.size(tensor, at));
            }
            None => {
                sizes.push(Size::Known(1));
                extents.push(Extent::Known(1));
            }
        }
    }
    (sizes, extents)
}

/// All indices, broadcast and side by side along a new last axis; with their common shape.
pub(super) fn stacked(
    call: &mut Call<'_, '_>,
    indices: &[Tensor],
) -> (String, Vec<Size>, Vec<Extent>) {
    let (sizes, extents) = common(call, indices);
    let last = sizes.len() as i64;
    let mut names = Vec::new();
    for index in indices {
        let wide = call.to.expand(index, &sizes, &extents);
        names.push(call.to.unsqueeze(&wide, &[last]));
    }
    (call.to.concat(&names, last), sizes, extents)
}

/// Indices of an evaluation by axis, booleans replaced by where they are true.
pub(super) fn evaluated_indices(
    eval: &mut Eval<'_, '_>,
    rank: usize,
) -> Result<Vec<Option<Array>>, EvaluateError> {
    let mut all = Vec::new();
    for index in eval.optional_tensors("indices")? {
        match index {
            Some(mask) if matches!(mask.element_type(), ElementType::Bool | ElementType::Uint8) => {
                let found = index::where_nonzero(&mask)?;
                for row in shape::unstack(&found, 0)? {
                    all.push(Some(row));
                }
            }
            Some(index) => all.push(Some(elementwise::cast(&index, ElementType::Int64)?)),
            None => all.push(None),
        }
    }
    if all.len() > rank {
        return Err(EvaluateError::new("there are more indices than axes"));
    }
    Ok(all)
}

/// All indices, broadcast and side by side along a new last axis.
pub(super) fn evaluated_stacked(indices: &[Array]) -> Result<Array, EvaluateError> {
    let mut dims = Vec::new();
    for index in indices {
        dims = layout::broadcast(&dims, index.dims())?;
    }
    let wide: Result<Vec<Array>, EvaluateError> =
        indices.iter().map(|index| shape::broadcast_to(index, &dims)).collect();
    shape::stack(&wide?.iter().collect::<Vec<_>>(), -1)
}
