//! Arithmetic of dimensions that may not be known.

use modelyard_tensor::Dim;

use crate::tensorflow::value::{Refusal, Value};

/// The dimensions of two values that are used together, as numpy broadcasts.
pub(super) fn broadcast(one: &Option<Vec<Dim>>, two: &Option<Vec<Dim>>) -> Option<Vec<Dim>> {
    let (one, two) = (one.as_ref()?, two.as_ref()?);
    let rank = one.len().max(two.len());
    let at = |dims: &[Dim], axis: usize| {
        let ahead = rank - dims.len();
        axis.checked_sub(ahead).map_or(Dim::Fixed(1), |own| dims[own].clone())
    };
    let dim = |axis| match (at(one, axis), at(two, axis)) {
        (Dim::Fixed(1), other) | (other, Dim::Fixed(1)) => other,
        (found @ Dim::Fixed(_), _) | (_, found @ Dim::Fixed(_)) => found,
        (one, two) if one == two => one,
        _ => Dim::Free,
    };
    Some((0..rank).map(dim).collect())
}

/// An axis counted from the front.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Refusal> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(counted).ok().filter(|&found| found < rank).ok_or_else(|| {
        Refusal::new(format!("axis {axis} of {rank} dimensions"), "the file may be damaged")
    })
}

/// The dimensions without (or, with `keep`, with 1 at) these axes.
pub(super) fn reduced(
    value: &Value,
    axes: &[i64],
    keep: bool,
) -> Result<Option<Vec<Dim>>, Refusal> {
    let Some(dims) = &value.dims else { return Ok(None) };
    let axes: Vec<usize> =
        axes.iter().map(|&found| axis(found, dims.len())).collect::<Result<_, _>>()?;
    let mut left = Vec::new();
    for (at, dim) in dims.iter().enumerate() {
        match (axes.contains(&at), keep) {
            (false, _) => left.push(dim.clone()),
            (true, true) => left.push(Dim::Fixed(1)),
            (true, false) => {}
        }
    }
    Ok(Some(left))
}

/// The dimensions in another order.
pub(super) fn permuted(dims: &[Dim], order: &[usize]) -> Option<Vec<Dim>> {
    order.iter().map(|&axis| dims.get(axis).cloned()).collect()
}
