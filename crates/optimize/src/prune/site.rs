//! A node as rules see it.

use std::collections::HashMap;

use modelyard_graph::{Constant, Node};
use modelyard_tensor::Dim;

use super::space::{Axis, Edit, Place, Role, Space};

/// Integers of shapes and slices at most.
const MOST_INTEGERS: usize = 1024;

/// What a rule says where it cannot follow a node: the reason. All axes of the node are then frozen.
pub(super) type Ruled = Result<(), String>;

/// A node, and the space in which its rule ties what it takes and gives.
pub(super) struct Site<'a, 's> {
    pub(super) node: &'a Node,
    /// Number of the node.
    pub(super) number: usize,
    /// Version of the operator set of the node's domain.
    pub(super) opset: i64,
    pub(super) constants: &'a HashMap<&'a str, &'a Constant>,
    /// Which axis follows the channels where a reshape leaves a choice: see `rules::reshape`.
    pub(super) choice: usize,
    /// How many choices there are, and the axis whose fate depends on it.
    pub(super) choices: Option<(usize, (String, usize))>,
    pub(super) space: &'s mut Space,
}

impl<'a> Site<'a, '_> {
    /// The name of an input that must be there.
    pub(super) fn input(&self, index: usize) -> Result<&'a str, String> {
        self.node.input(index).ok_or_else(|| format!("{} lacks input {index}", self.node))
    }

    /// The name of the first output.
    pub(super) fn output(&self) -> Result<&'a str, String> {
        self.node.output(0).ok_or_else(|| format!("{} gives nothing", self.node))
    }

    /// Dimensions of a value, whose rank must be known.
    pub(super) fn dims(&self, name: &str) -> Result<Vec<Dim>, String> {
        let dims = self.space.dims(name).map(<[Dim]>::to_vec);
        dims.ok_or_else(|| format!("the shape of '{name}' is not known"))
    }

    /// Number of dimensions of a value, which must be known.
    pub(super) fn rank(&self, name: &str) -> Result<usize, String> {
        Ok(self.dims(name)?.len())
    }

    /// The size of an axis, which must be fixed.
    pub(super) fn size(&self, (name, axis): Axis<'_>) -> Result<usize, String> {
        let size = self.space.size((name, axis));
        size.ok_or_else(|| format!("dimension {axis} of '{name}' is open"))
    }

    /// An axis counted from the front.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, String> {
        let found = if axis < 0 { axis + rank as i64 } else { axis };
        let found = usize::try_from(found).ok().filter(|found| *found < rank);
        found.ok_or_else(|| format!("{} has axis {axis} of {rank}", self.node))
    }

    /// The integers of an input that is a constant.
    pub(super) fn integers(&self, index: usize) -> Option<Vec<i64>> {
        self.constants.get(self.node.input(index)?)?.integers(MOST_INTEGERS)
    }

    /// A list that older operator sets have as attribute and newer ones as input. The inner `None`: not
    /// stated.
    pub(super) fn list(&self, attribute: &str, index: usize) -> Result<Option<Vec<i64>>, String> {
        if let Some(list) = self.node.ints(attribute) {
            return Ok(Some(list.to_vec()));
        }
        match self.node.input(index) {
            None => Ok(None),
            Some(name) => match self.integers(index) {
                Some(list) => Ok(Some(list)),
                None => Err(format!("'{name}' of {} is computed", self.node)),
            },
        }
    }

    /// Ties all axes of two values of the same rank.
    pub(super) fn tie_all(&mut self, one: &str, two: &str) -> Ruled {
        let (rank, other) = (self.rank(one)?, self.rank(two)?);
        if rank != other {
            return Err(format!("'{one}' has {rank} dimensions, '{two}' {other}"));
        }
        (0..rank).for_each(|axis| self.space.tie((one, axis), (two, axis)));
        Ok(())
    }

    /// Ties an input that is stretched to the shape of an output: the last axes are the same, those of
    /// size 1 stand for any.
    pub(super) fn tie_stretched(&mut self, input: &str, output: &str) -> Ruled {
        let (small, large) = (self.dims(input)?, self.dims(output)?);
        let Some(lead) = large.len().checked_sub(small.len()) else {
            return Err(format!("'{input}' has more dimensions than '{output}'"));
        };
        for (axis, dim) in small.iter().enumerate() {
            if *dim != Dim::Fixed(1) {
                self.space.tie((input, axis), (output, axis + lead));
            }
        }
        Ok(())
    }

    /// Freezes axes from `first` on.
    pub(super) fn freeze_from(&mut self, name: &str, first: usize, reason: &str) {
        for axis in first..self.space.dims(name).map_or(0, <[Dim]>::len) {
            self.space.freeze((name, axis), reason);
        }
    }

    /// An axis of a weight.
    pub(super) fn role(&mut self, axis: Axis<'_>, role: Role) {
        if self.constants.contains_key(axis.0) {
            self.space.role(axis, role);
        }
    }

    /// A number in the node counts the indices of an axis, all of them.
    pub(super) fn counts(&mut self, place: Place, axis: Axis<'_>, divisor: usize) {
        let upto = self.space.size(axis).unwrap_or(0);
        self.counts_to(place, (axis, upto), divisor);
    }

    /// A number in the node counts the indices of an axis up to one.
    pub(super) fn counts_to(
        &mut self,
        place: Place,
        (axis, upto): (Axis<'_>, usize),
        divisor: usize,
    ) {
        let axis = (axis.0.to_owned(), axis.1);
        self.space.edits.push(Edit { node: self.number, place, axis, upto, divisor });
    }
}
