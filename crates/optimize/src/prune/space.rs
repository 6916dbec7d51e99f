//! Which indices of which axes go together.
//!
//! Every index of every axis with a fixed size, of values and of constants alike, is an element of a
//! union-find. Operators tie indices that can only go together: channel 3 of what a convolution gives and
//! row 3 of its weight; head 2 of a query and columns 128 to 191 of the product that made it. What cannot
//! be removed at all is frozen, with the reason. A class of tied indices that is not frozen can be removed
//! from all tensors at once.

use std::collections::HashMap;

use modelyard_graph::{Model, ValueType};
use modelyard_tensor::Dim;

/// An axis of a value: its name, and which.
pub(super) type Axis<'n> = (&'n str, usize);

/// Longer axes are followed no further: nobody has so many channels.
const LONGEST: usize = 1 << 20;

/// Indices of all axes of a model at most.
const MOST: usize = 1 << 26;

/// What an axis of a weight is for the node that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its slices are filters: each gives a channel.
    Out,
    /// Its slices weigh what comes in.
    In,
    /// It holds the scales of a batch normalization.
    Scale,
}

/// A number in a node that counts indices that may be removed.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// Number of the node.
    pub(super) node: usize,
    pub(super) place: Place,
    /// The indices that it counts, up to (not with) this one.
    pub(super) axis: (String, usize),
    pub(super) upto: usize,
    /// Indices for each one of the number.
    pub(super) divisor: usize,
}

/// Where the number stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An integer attribute.
    Attribute(&'static str),
    /// A member of an attribute that is a list.
    Member(&'static str, usize),
    /// A member of the constant that is this input.
    Input(usize, usize),
}

/// All indices, and how they are tied.
pub(super) struct Space {
    dims: HashMap<String, Vec<Dim>>,
    /// By value: the first index of each axis that is followed.
    bases: HashMap<String, Vec<Option<usize>>>,
    parents: Vec<u32>,
    /// By root: the number of the reason why it is frozen.
    frozen: Vec<Option<u32>>,
    /// By root: whether removal changes what a normalization sees.
    inexact: Vec<bool>,
    reasons: Vec<String>,
    /// Axes of weights.
    pub(super) roles: Vec<((String, usize), Role)>,
    pub(super) edits: Vec<Edit>,
    /// Whether normalizations over channels may be narrowed.
    pub(super) narrows: bool,
}

impl Space {
    /// Nothing is tied yet. `None` where the model is too large to be followed.
    pub(super) fn of(model: &Model) -> Option<Space> {
        let mut space = Space {
            dims: HashMap::new(),
            bases: HashMap::new(),
            parents: Vec::new(),
            frozen: Vec::new(),
            inexact: Vec::new(),
            reasons: Vec::new(),
            roles: Vec::new(),
            edits: Vec::new(),
            narrows: false,
        };
        let mut count = 0usize;
        let mut types: Vec<(String, Vec<Dim>)> =
            model.types().into_iter().filter_map(known).collect();
        for constant in &model.graph.initializers {
            let dims = constant.dims.iter().map(|&size| Dim::Fixed(size)).collect();
            types.push((constant.name.clone(), dims));
        }
        for (name, dims) in types {
            let base = |dim: &Dim| match dim {
                Dim::Fixed(size) if *size <= LONGEST => {
                    count += size;
                    Some(count - size)
                }
                _ => None,
            };
            let bases = dims.iter().map(base).collect();
            space.bases.insert(name.clone(), bases);
            space.dims.insert(name, dims);
            if count > MOST {
                return None;
            }
        }
        space.parents = (0..count as u32).collect();
        space.frozen = vec![None; count];
        space.inexact = vec![false; count];
        Some(space)
    }

    /// The dimensions of a value, if its rank is known.
    pub(super) fn dims(&self, name: &str) -> Option<&[Dim]> {
        self.dims.get(name).map(Vec::as_slice)
    }

    /// The size of an axis that is followed.
    pub(super) fn size(&self, (name, axis): Axis<'_>) -> Option<usize> {
        self.base((name, axis))?;
        match self.dims.get(name)?.get(axis)? {
            Dim::Fixed(size) => Some(*size),
            _ => None,
        }
    }

    /// The number of the first index of an axis that is followed.
    pub(super) fn base(&self, (name, axis): Axis<'_>) -> Option<usize> {
        self.bases.get(name)?.get(axis).copied().flatten()
    }

    /// The class of an index.
    pub(super) fn root(&self, index: usize) -> usize {
        let mut index = index;
        while self.parents[index] as usize != index {
            index = self.parents[index] as usize;
        }
        index
    }

    fn shorten(&mut self, index: usize) -> usize {
        let root = self.root(index);
        let mut index = index;
        while self.parents[index] as usize != root {
            index = std::mem::replace(&mut self.parents[index], root as u32) as usize;
        }
        root
    }

    /// Why a class cannot be removed.
    pub(super) fn reason(&self, root: usize) -> Option<&str> {
        self.frozen[root].map(|number| self.reasons[number as usize].as_str())
    }

    /// Whether the removal of a class changes what a normalization sees.
    pub(super) fn is_inexact(&self, root: usize) -> bool {
        self.inexact[root]
    }

    /// Whether any index of an axis may still be removed.
    pub(super) fn is_free(&self, axis: Axis<'_>) -> bool {
        let (Some(base), Some(size)) = (self.base(axis), self.size(axis)) else { return false };
        (base..base + size).any(|index| self.frozen[self.root(index)].is_none())
    }

    /// Ties two indices.
    pub(super) fn unite(&mut self, one: usize, two: usize) {
        let (one, two) = (self.shorten(one), self.shorten(two));
        if one == two {
            return;
        }
        let (low, high) = (one.min(two), one.max(two));
        self.parents[high] = low as u32;
        self.frozen[low] = self.frozen[low].or(self.frozen[high]);
        self.inexact[low] |= self.inexact[high];
    }

    /// Ties two axes, index by index. Where they do not go together both are frozen.
    pub(super) fn tie(&mut self, one: Axis<'_>, two: Axis<'_>) {
        match (self.size(one), self.size(two)) {
            (None, None) => {}
            (Some(left), Some(right)) if left == right => self.tie_at((one, 0), (two, 0), left),
            _ => {
                self.freeze(one, &format!("it meets '{}', whose size is another", two.0));
                self.freeze(two, &format!("it meets '{}', whose size is another", one.0));
            }
        }
    }

    /// Ties `length` indices of two axes, from a first one on each.
    pub(super) fn tie_at(
        &mut self,
        (one, first): (Axis<'_>, usize),
        (two, second): (Axis<'_>, usize),
        length: usize,
    ) {
        if let (Some(one), Some(two)) = (self.base(one), self.base(two)) {
            for step in 0..length {
                self.unite(one + first + step, two + second + step);
            }
        }
    }

    /// Nothing of an axis is to be removed.
    pub(super) fn freeze(&mut self, axis: Axis<'_>, reason: &str) {
        let (Some(base), Some(size)) = (self.base(axis), self.size(axis)) else { return };
        let number = self.number(reason);
        for index in base..base + size {
            let root = self.shorten(index);
            self.frozen[root] = self.frozen[root].or(Some(number));
        }
    }

    /// Nothing of a value is to be removed.
    pub(super) fn freeze_all(&mut self, name: &str, reason: &str) {
        for axis in 0..self.dims(name).map_or(0, <[Dim]>::len) {
            self.freeze((name, axis), reason);
        }
    }

    /// Removal along this axis changes what a normalization sees.
    pub(super) fn mark_inexact(&mut self, axis: Axis<'_>) {
        let (Some(base), Some(size)) = (self.base(axis), self.size(axis)) else { return };
        for index in base..base + size {
            let root = self.shorten(index);
            self.inexact[root] = true;
        }
    }

    /// Says what an axis of a weight is for.
    pub(super) fn role(&mut self, (name, axis): Axis<'_>, role: Role) {
        self.roles.push(((name.to_owned(), axis), role));
    }

    fn number(&mut self, reason: &str) -> u32 {
        // Rules freeze axis by axis for one reason.
        if self.reasons.last().is_none_or(|last| last != reason) {
            self.reasons.push(reason.to_owned());
        }
        self.reasons.len() as u32 - 1
    }
}

fn known((name, value_type): (String, ValueType)) -> Option<(String, Vec<Dim>)> {
    let dims = value_type.as_tensor()?.1?.to_vec();
    Some((name, dims))
}
