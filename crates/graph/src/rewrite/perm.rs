//! Orders of axes.

/// An order of axes: where a tensor is transposed by it, axis `i` of the result is axis
/// `order[i]` of the tensor. Each axis is in it once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Perm(Vec<usize>);

impl Perm {
    /// The order that leaves all where it is.
    pub(super) fn identity(rank: usize) -> Perm {
        Perm((0..rank).collect())
    }

    /// `None` unless each axis below the length is there once.
    pub(super) fn new(order: Vec<usize>) -> Option<Perm> {
        let mut seen = vec![false; order.len()];
        for &axis in &order {
            if std::mem::replace(seen.get_mut(axis)?, true) {
                return None;
            }
        }
        Some(Perm(order))
    }

    pub(super) fn of_ints(order: &[i64]) -> Option<Perm> {
        let order: Option<Vec<usize>> =
            order.iter().map(|&axis| usize::try_from(axis).ok()).collect();
        Perm::new(order?)
    }

    /// The order of the axes of a selection, in which `order` lists them among others.
    pub(super) fn ranked(order: &[usize]) -> Perm {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        Perm(order.iter().map(|axis| sorted.partition_point(|other| other < axis)).collect())
    }

    pub(super) fn rank(&self) -> usize {
        self.0.len()
    }

    pub(super) fn axes(&self) -> &[usize] {
        &self.0
    }

    pub(super) fn ints(&self) -> Vec<i64> {
        self.0.iter().map(|&axis| axis as i64).collect()
    }

    pub(super) fn is_identity(&self) -> bool {
        self.0.iter().enumerate().all(|(index, &axis)| index == axis)
    }

    /// The order that undoes this one. Also: where each axis of the tensor went.
    pub(super) fn inverse(&self) -> Perm {
        let mut inverse = vec![0; self.0.len()];
        for (index, &axis) in self.0.iter().enumerate() {
            inverse[axis] = index;
        }
        Perm(inverse)
    }

    /// First this order, then `next` of the result. Both have the same rank.
    pub(super) fn then(&self, next: &Perm) -> Perm {
        Perm(next.0.iter().map(|&axis| self.0[axis]).collect())
    }

    /// Where axis `axis` of the tensor is in the result.
    pub(super) fn place_of(&self, axis: usize) -> Option<usize> {
        self.0.iter().position(|&other| other == axis)
    }

    /// What belongs to the axes of a tensor, in the order of the result. `items` has one of each
    /// axis.
    pub(super) fn apply<T: Clone>(&self, items: &[T]) -> Vec<T> {
        self.0.iter().map(|&axis| items[axis].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_compose_and_invert() {
        let one = Perm::new(vec![0, 3, 1, 2]).unwrap();
        let two = Perm::new(vec![0, 2, 3, 1]).unwrap();
        assert!(one.then(&two).is_identity());
        assert_eq!(one.inverse(), two);
        assert_eq!(one.then(&one).apply(&["n", "h", "w", "c"]), ["n", "w", "c", "h"]);
        assert_eq!(Perm::ranked(&[7, 2, 5]).axes(), [2, 0, 1]);
        assert_eq!(Perm::new(vec![0, 0]), None);
        assert_eq!(Perm::of_ints(&[0, 2]), None);
    }
}
