//! Sparse weights: which positions are stored, as a tree of dimensions.
//!
//! The dimensions of the tensor, and those of blocks inside it, are nested in some order. Each level
//! is dense (all its positions are there) or compressed as in CSR: for each position of the level
//! above, a segment of the indices that are there. The stored elements follow the innermost level.

use super::flatbuffer::Table;
use crate::ConvertError;

/// How the elements of a tensor are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sparsity {
    /// Which dimension each level is: those of the tensor, then those of blocks.
    order: Vec<usize>,
    /// Which dimension of the tensor each dimension of a block divides.
    blocks: Vec<usize>,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    /// This many positions.
    Dense(usize),
    /// The positions `indices[segments[i]..segments[i + 1]]` below position `i`.
    Compressed { segments: Vec<usize>, indices: Vec<usize> },
}

impl Sparsity {
    pub(crate) fn parse(table: &Table) -> Result<Sparsity, ConvertError> {
        let sizes = |values: Option<Vec<i32>>| -> Result<Vec<usize>, ConvertError> {
            let size = |value: i32| {
                let message = || format!("expected a dimension, found {value}");
                usize::try_from(value).map_err(|_| table.damaged(message()))
            };
            values.unwrap_or_default().into_iter().map(size).collect()
        };
        let order = sizes(table.i32s(0)?)?;
        let blocks = sizes(table.i32s(1)?)?;
        let levels = table.tables(2)?.iter().map(level).collect::<Result<Vec<_>, _>>()?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if levels.len() != order.len() || !sorted.iter().copied().eq(0..order.len()) {
            let message = format!("a sparse tensor nests {order:?} in {} levels", levels.len());
            return Err(table.damaged(message));
        }
        Ok(Sparsity { order, blocks, levels })
    }

    /// All elements of a tensor of this shape, zeros where none are stored; `size` bytes each.
    pub(crate) fn dense(
        &self,
        shape: &[usize],
        size: usize,
        stored: &[u8],
        limit: u64,
    ) -> Result<Vec<u8>, String> {
        let rank = shape.len();
        let blocks_fit = self.blocks.len() <= rank && self.blocks.iter().all(|&dim| dim < rank);
        if self.order.len() != rank + self.blocks.len() || !blocks_fit || size == 0 {
            let found = self.order.len();
            return Err(format!("{found} levels of storage do not fit the shape {shape:?}"));
        }
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let bytes = elements.and_then(|elements| elements.checked_mul(size));
        let bytes = bytes.filter(|&bytes| bytes as u64 <= limit).ok_or("it is too large")?;
        let most = elements.and_then(|elements| elements.checked_add(1));
        let most = most.and_then(|elements| elements.checked_mul(self.order.len() + 1));
        let mut walk = Walk {
            sparsity: self,
            strides: self.strides(shape)?,
            steps: most.ok_or("it is too large")?,
            size,
            stored,
            next: 0,
            dense: vec![0; bytes],
        };
        walk.level(0, 0, 0)?;
        match walk.next == stored.len() {
            true => Ok(walk.dense),
            false => Err(format!("{} of {} stored bytes have a place", walk.next, stored.len())),
        }
    }

    /// How far apart the positions of each dimension are in the dense tensor.
    fn strides(&self, shape: &[usize]) -> Result<Vec<usize>, String> {
        let rank = shape.len();
        let mut strides = vec![1usize; rank + self.blocks.len()];
        for dim in (0..rank.saturating_sub(1)).rev() {
            strides[dim] = strides[dim + 1].saturating_mul(shape[dim + 1]);
        }
        // Positions of a dimension that is divided into blocks are as far apart as the blocks are
        // long.
        for (index, &dim) in self.blocks.iter().enumerate() {
            strides[rank + index] = strides[dim];
            let level = self.order.iter().position(|&other| other == rank + index);
            match level.and_then(|level| self.levels.get(level)) {
                Some(Level::Dense(size)) => strides[dim] = strides[dim].saturating_mul(*size),
                _ => return Err("a dimension of a block is not dense".into()),
            }
        }
        Ok(strides)
    }
}

/// Puts stored elements where they belong, level by level.
struct Walk<'a> {
    sparsity: &'a Sparsity,
    strides: Vec<usize>,
    /// How many positions may still be visited.
    steps: usize,
    size: usize,
    stored: &'a [u8],
    /// Bytes of `stored` that have their place.
    next: usize,
    dense: Vec<u8>,
}

impl Walk<'_> {
    /// What is below `position` of the level above, which lies at element `offset`. As deep as the
    /// tensor has dimensions.
    fn level(&mut self, level: usize, position: usize, offset: usize) -> Result<(), String> {
        let sparsity = self.sparsity;
        self.steps = self.steps.checked_sub(1).ok_or("its levels have more positions than it")?;
        let Some(kind) = sparsity.levels.get(level) else { return self.element(offset) };
        let stride = self.strides[sparsity.order[level]];
        let at = |index: usize| offset.saturating_add(index.saturating_mul(stride));
        match kind {
            Level::Dense(count) => {
                for index in 0..*count {
                    let below = position.saturating_mul(*count).saturating_add(index);
                    self.level(level + 1, below, at(index))?;
                }
            }
            Level::Compressed { segments, indices } => {
                let bound = |index: usize| segments.get(index).copied();
                let range = bound(position).zip(bound(position + 1));
                let range = range.map(|(start, end)| start..end);
                let found = range.clone().and_then(|range| indices.get(range));
                let (Some(range), Some(found)) = (range, found) else {
                    return Err(format!("level {level} of its storage has no segment {position}"));
                };
                for (below, &index) in range.zip(found) {
                    self.level(level + 1, below, at(index))?;
                }
            }
        }
        Ok(())
    }

    /// The next stored element.
    fn element(&mut self, offset: usize) -> Result<(), String> {
        let target = offset.checked_mul(self.size);
        let target = target.and_then(|start| Some(start..start.checked_add(self.size)?));
        let source = self.stored.get(self.next..self.next + self.size);
        let target = target.and_then(|target| self.dense.get_mut(target));
        let (Some(source), Some(target)) = (source, target) else {
            return Err("its stored elements do not fit its shape".into());
        };
        target.copy_from_slice(source);
        self.next += self.size;
        Ok(())
    }
}

fn level(table: &Table) -> Result<Level, ConvertError> {
    if table.u8(0)? == 0 {
        let size = table.i32(1, 0)?;
        let message = || format!("expected a size of a level, found {size}");
        return usize::try_from(size).map(Level::Dense).map_err(|_| table.damaged(message()));
    }
    let segments = numbers(table, 2)?;
    let indices = numbers(table, 4)?;
    Ok(Level::Compressed { segments, indices })
}

/// A vector of 32-, 16- or 8-bit integers: a union whose type stands in `field`.
fn numbers(table: &Table, field: usize) -> Result<Vec<usize>, ConvertError> {
    let missing = || table.damaged("a compressed level has no indices");
    let vector = table.table(field + 1)?.ok_or_else(missing)?;
    match table.u8(field)? {
        1 => {
            let values = vector.i32s(0)?.unwrap_or_default();
            let size = |value: i32| usize::try_from(value).map_err(|_| missing());
            values.into_iter().map(size).collect()
        }
        2 => Ok(vector.u16s(0)?.unwrap_or_default().into_iter().map(usize::from).collect()),
        3 => Ok(vector.bytes(0)?.unwrap_or_default().iter().map(|&value| value.into()).collect()),
        found => Err(table.damaged(format!("expected indices of kind 1 to 3, found {found}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_in_csr() {
        let sparsity = Sparsity {
            order: vec![0, 1],
            blocks: Vec::new(),
            levels: vec![
                Level::Dense(2),
                Level::Compressed { segments: vec![0, 1, 3], indices: vec![2, 0, 1] },
            ],
        };
        let dense = sparsity.dense(&[2, 3], 1, &[7, 8, 9], 100).unwrap();
        assert_eq!(dense, [0, 0, 7, 8, 9, 0]);
        assert!(sparsity.dense(&[2, 3], 1, &[7, 8], 100).is_err());
        assert!(sparsity.dense(&[2, 3], 1, &[7, 8, 9, 9], 100).is_err());
        assert!(sparsity.dense(&[1 << 40, 1 << 40], 1, &[7, 8, 9], 100).is_err());
    }

    #[test]
    fn blocks_lie_inside_dimensions() {
        // A 2x4 matrix of 1x2 blocks: of the first row the second block, of the second the first.
        let sparsity = Sparsity {
            order: vec![0, 1, 2],
            blocks: vec![1],
            levels: vec![
                Level::Dense(2),
                Level::Compressed { segments: vec![0, 1, 2], indices: vec![1, 0] },
                Level::Dense(2),
            ],
        };
        let dense = sparsity.dense(&[2, 4], 1, &[1, 2, 3, 4], 100).unwrap();
        assert_eq!(dense, [0, 0, 1, 2, 3, 4, 0, 0]);
    }
}
