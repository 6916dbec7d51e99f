//! Values of the graph that is being written.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

/// A value of the graph, with what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// Its name.
    pub(crate) name: String,
    /// Its shape.
    pub(crate) dims: Vec<Dim>,
    /// What its elements are; floats of all widths are computed as `float`.
    pub(crate) element_type: ElementType,
    /// Keras' mask: which steps of a sequence count, as booleans `[batch, steps]`.
    pub(crate) mask: Option<String>,
    /// The type of float that the source has here, where it is another one.
    pub(crate) declared: Option<ElementType>,
}

impl Value {
    /// Number of dimensions.
    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Size of an axis, where it is known.
    pub(crate) fn size(&self, axis: usize) -> Option<usize> {
        self.dims.get(axis).and_then(fixed)
    }

    /// All sizes but the first, where they are known.
    pub(crate) fn inner_sizes(&self) -> Option<Vec<usize>> {
        self.dims.iter().skip(1).map(fixed).collect()
    }

    /// Whether its elements are floats.
    pub(crate) fn is_float(&self) -> bool {
        self.element_type == ElementType::Float32
    }
}

/// The size, where it is known.
pub(crate) fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) | Dim::Free => None,
    }
}

/// The size that becomes of a known one; of an unknown one nothing is known.
pub(crate) fn derived(dim: &Dim, size: impl FnOnce(usize) -> Option<usize>) -> Dim {
    fixed(dim).and_then(size).map_or(Dim::Free, Dim::Fixed)
}

/// The shape of what two shapes are broadcast to, by NumPy's rules; `None` where they do not fit.
pub(crate) fn broadcast(one: &[Dim], two: &[Dim]) -> Option<Vec<Dim>> {
    let rank = one.len().max(two.len());
    let at = |dims: &[Dim], axis: usize| -> Dim {
        let missing = rank - dims.len();
        if axis < missing { Dim::Fixed(1) } else { dims[axis - missing].clone() }
    };
    (0..rank)
        .map(|axis| match (at(one, axis), at(two, axis)) {
            (one, two) if one == two => Some(one),
            (Dim::Fixed(1), other) | (other, Dim::Fixed(1)) => Some(other),
            (Dim::Fixed(one), Dim::Fixed(two)) => (one == two).then_some(Dim::Fixed(one)),
            // The other can only be 1 or the same.
            (Dim::Fixed(size), _) | (_, Dim::Fixed(size)) => Some(Dim::Fixed(size)),
            (Dim::Symbol(name), _) | (_, Dim::Symbol(name)) => Some(Dim::Symbol(name)),
            (Dim::Free, Dim::Free) => Some(Dim::Free),
        })
        .collect()
}

/// An axis counted from the front; `None` where there is none.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    let signed = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(signed).ok().filter(|&axis| axis < rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_broadcast() {
        let batch = || Dim::Symbol("batch".into());
        let found =
            broadcast(&[batch(), Dim::Fixed(1), Dim::Fixed(3)], &[Dim::Fixed(2), Dim::Fixed(3)]);
        assert_eq!(found, Some(vec![batch(), Dim::Fixed(2), Dim::Fixed(3)]));
        assert_eq!(broadcast(&[Dim::Fixed(2)], &[Dim::Fixed(3)]), None);
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(axis_of(-1, 4), Some(3));
        assert_eq!(axis_of(2, 4), Some(2));
        assert_eq!(axis_of(-5, 4), None);
        assert_eq!(axis_of(i64::MIN, 4), None);
    }
}
